#!/bin/sh
# A fleet on a desk: a broker and three virtual boards, and the firmware with tasks.py onto all of them.
set -eu
cd "$(dirname "$0")"
rm -f ports
dcompute broker --listen 18830 & broker=$!
dcompute board --count 3 --port-file ports & boards=$!
trap 'kill $broker $boards; wait' EXIT
while [ ! -s ports ]; do sleep 0.1; done

dcompute deploy --fleet fleet.yaml --all --file tasks.py     # copies, restarts, waits for each `ready`
# dcompute deploy status --fleet fleet.yaml --all            # what runs on each board
