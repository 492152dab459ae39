# mypy: ignore-errors
# What arrives for the process with a grant: bytes for sockets, and the testbed's orders.
#
# The engine has handed out the turn, so nothing may fail for want of heap (the kernel's rule 4). What arrives
# lies outside the board's heap, as it lies in lwIP's buffers on a chip, and gets there without a byte of it.
# An order needs some, as it is JSON: a spare is kept for when the firmware has filled its heap.
import gc
import json

import uctypes
from _native import allocate, exit, grow, move, read

_ARENA_BYTES = 8192
_arena_bytes = _ARENA_BYTES
_arena = allocate(_ARENA_BYTES)
_head = bytearray(7)
_head_at = uctypes.addressof(_head)
_spare = bytearray(2048)  # for an order of the testbed's when the firmware has filled its heap
sockets = {}  # number -> socket


def take(fd, size):
    global _arena, _arena_bytes
    if size > _arena_bytes:
        _arena = grow(_arena, _arena_bytes, size)
        _arena_bytes = size
    have = 0
    while have < size:
        count = read(fd, _arena + have, size - have)
        if count <= 0:
            exit(0)
        have += count
    at = _arena
    end = at + size
    while at < end:
        move(_head_at, at, 7)
        number = _head[1] | _head[2] << 8
        length = _head[3] | _head[4] << 8 | _head[5] << 16 | _head[6] << 24
        at += 7
        if not number:
            _obey(at, length)
        elif number in sockets:
            sockets[number].arrive(_head[0], at, length)
        at += length


def number_at(address):
    # Of two bytes.
    move(_head_at, address, 2)
    return _head[0] | _head[1] << 8


def _obey(address, length):
    # An order; to be repeated if it fails for lack of memory.
    global _spare
    try:
        _take_order(json.loads(uctypes.bytearray_at(address, length)))
    except MemoryError:
        _spare = None
        gc.collect()
        _take_order(json.loads(uctypes.bytearray_at(address, length)))
    if _spare is None:
        try:
            _spare = bytearray(2048)
        except MemoryError:
            pass


def _take_order(order):
    if order["op"] == "radio":
        import network

        network.radio.update(order["set"], order["at_us"])
    elif order["op"] == "kick":
        import network

        network._sta.kick(order["reason"], order["stuck"], order["at_us"])
    elif order["op"] == "memory":
        import _board

        _board.kernel.report(_board.memory(order["id"]))
    elif order["op"] == "leave":
        import _board
        import _observe

        _observe.leave(_board)
