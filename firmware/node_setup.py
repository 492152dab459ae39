# What a node starts with, made of its settings and arguments. Loaded for that and then forgotten, to spare
# the heap.

import random
import sys
from binascii import hexlify

import machine
from dcompute.node_core import NodeCore
from micropython import const

_CREDIT = const(4)
_ASKERS = const(4)
_KEEP_BYTES = const(2048)


def prepare(given, host, port, keepalive_s):
    # Put the arguments (None: as config.py says) into the settings, and add `core`, `led` and `watchdog`.
    given.mqtt_host = host or given.mqtt_host
    given.mqtt_port = port or given.mqtt_port
    if keepalive_s is not None:
        if not isinstance(keepalive_s, int) or not 1 <= keepalive_s <= 65535:
            raise ValueError("broker_keepalive must be from 1 to 65535 seconds, not %r" % (keepalive_s,))
        given.keepalive_s = keepalive_s
    given.core = _core(given)
    given.led = machine.Pin(given.led_pin, machine.Pin.OUT) if given.led_pin >= 0 else None
    given.watchdog = machine.WDT(timeout=given.watchdog_s * 1000) if given.watchdog_s else None
    del sys.modules["node_setup"]


def _core(given):
    node_id = given.node_id or hexlify(machine.unique_id()).decode()
    nonce = "%08x" % random.getrandbits(32)
    capabilities = {"keepalive": given.keepalive_s, "credit": _CREDIT}
    try:
        core = NodeCore(
            node_id,
            given.node_type,
            nonce,
            capabilities,
            given.namespace,
            given.queue_limit,
            ring_size=(_CREDIT, _ASKERS, _KEEP_BYTES),
        )
    except ValueError as error:
        raise ValueError("config.py: NODE_ID or NAMESPACE is wrong: %s" % error)
    del sys.modules["dcompute.node_names"]  # which has checked these
    delattr(sys.modules["dcompute"], "node_names")
    return core
