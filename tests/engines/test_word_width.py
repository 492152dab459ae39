"""Boards on the 32-bit MicroPython and on the machine's own do the same, to the digest of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dcompute_sim.micropython import provision

SCENARIO = {
    "version": 1,
    "name": "width",
    "time": "virtual",
    "duration": "1300s",  # microseconds of which take more than 30 bits
    "fleet": {"esp": {"kind": "firmware", "count": 2, "keepalive": "60s", "poll": "5s"}},
    "workload": [{"tasks": 20, "rate": "1/s", "at": "5s"}, {"tasks": 20, "rate": "1/s", "at": "1200s"}],
    "faults": [{"kind": "wifi_drop", "at": "20s", "for": "30s", "select": {"names": ["esp-1"]}}],
    "expect": ["all_tasks_finished", "no_false_deaths"],
}


def test_one_digest_on_both(tmp_path: Path, emulator: provision.Emulator) -> None:
    own = provision.provision(word_bits=64)
    (tmp_path / "width.yaml").write_text(json.dumps(SCENARIO))
    told = []
    for one in (emulator, own):
        program = tmp_path / "micropython"
        program.write_text(f'#!/bin/sh\nexec {" ".join(one.argv)} "$@"\n')
        program.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-m", "dcompute", "run", "width.yaml", "--plain", "--json", "r.json"],
            cwd=tmp_path,
            env={provision.MICROPYTHON_VARIABLE: str(program), provision.UMQTT_VARIABLE: str(one.umqtt)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (report,) = json.loads((tmp_path / "r.json").read_text())["runs"]
        assert f"{one.word_bits} bit" in report["emulator"]
        assert f"{one.word_bits} bit" in done.stdout
        told.append(done.stdout.rpartition("digest ")[2])
    assert told[0] == told[1]
