# What comes of a message of the master's. A file of its own: it is compiled beside the message.

import gc

from update import load


def begin(slot, payload):
    # Returns the next step. What is not proven is passed over without a word.
    kind = payload[4]
    if payload[:4] != b"DCU2":
        return slot.step
    if kind == 0x50:  # the code that takes it is not there yet: it has to ask again
        slot.quiet = False
        return slot.step
    slot.take = slot.then = None
    slot.quiet = True
    step = None
    try:
        if kind == 0x51:
            load("hello").begin(slot, payload)
        elif kind == 0x4F:
            step = _consider(slot, payload)
    except MemoryError:
        if not slot.long:
            raise
        gc.collect()
    return step or slot.step or slot.long


def _consider(slot, payload):
    entry = load("step1_proof").begin(slot, payload)
    if not entry:
        return None
    busy = slot.is_under_way()
    if not busy:  # from here on there is somebody to be told of a want of memory
        slot.version, slot.session = "", entry[1]
        slot.step = slot.long = None
    load("hide").unhide(payload[42:-16], entry[0], b"")
    return load("step2_keep").begin(slot, payload, busy, *entry[1:])
