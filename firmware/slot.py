# What a node says of the version it runs, and who hears of the next one: only where a launcher keeps versions
# in slots, so that other boards have none of it in their heap.

import gc
import time

from micropython import const
from next_slot import NextSlot

gc.collect()
_PATIENCE_MS = const(600000)  # how long an offer may name a challenge


def attach(launcher, link, client):
    next_slot = NextSlot(launcher, link, client)
    capabilities = link.core.capabilities
    capabilities["version"] = launcher.version
    if launcher.failed:
        capabilities["failed"] = launcher.failed
    topic = (link.core.task_topic + "/update").encode()
    connect, on_puback, on_message = client.connect, client.on_puback, client.cb
    keep_alive = client.keep_alive

    def connect_too():
        connect()
        next_slot.nonce = None  # no offer of before is good for this connection
        client.subscribe(topic, 1)

    def puback_came(packet_id):
        on_puback(packet_id)
        if not link.outbox.control:
            all_sent()

    def all_sent():
        # The broker has acknowledged all that this node says of itself: its version stays.
        try:
            if launcher.trial:
                launcher.confirm()
            elif next_slot.then:
                next_slot.then(next_slot)
        except MemoryError:  # the next acknowledgement is as good
            gc.collect()

    def message_came(about, payload, size):
        if about == topic:
            if size > 20:  # less is no message, and nothing would be taken for the next step
                next_slot.take_in(payload)
        else:
            on_message(about, payload, size)

    def turn_over():
        keep_alive()
        if next_slot.nonce and time.ticks_diff(time.ticks_ms(), next_slot.nonce_ms) > _PATIENCE_MS:
            next_slot.nonce = None
        while next_slot.step:  # now that the message before it has left the heap
            next_slot.take_in(b"")

    client.connect, client.on_puback, client.keep_alive = connect_too, puback_came, turn_over
    client.set_callback(message_came)
    del globals()["attach"]  # it is needed once
