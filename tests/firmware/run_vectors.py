"""Runs one file of wire vectors against node_core, under CPython or MicroPython, and prints what came out."""

import json
import sys
from binascii import unhexlify

from dcompute.node_core import NodeCore, Rejected
from dcompute.node_wire import MAX_PAYLOAD_BYTES, decode_task

NOT_JSON = {
    "nan": float("nan"),
    "bytes": {"a": b"x"},
    "keys": {1: 2},
    "deep": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
}


def decoded(message):
    topic, payload, retain = message
    return [topic, json.loads(str(payload, "utf-8")), retain]


def decoded_all(messages):
    return [decoded(message) for message in messages]


def decode(vector):
    payload = unhexlify(vector["hex"]) if "hex" in vector else vector["text"].encode("utf-8")
    try:
        return decode_task(payload, vector.get("limit", MAX_PAYLOAD_BYTES))
    except Rejected:
        return None


def step(core, name, *args):
    if name == "will":
        return decoded(core.will())
    if name == "greeting":
        return decoded_all(core.greeting())
    if name == "greeting_topics":
        return [message[0] for message in core.greeting()]
    if name == "set_status":
        return decoded(core.set_status(args[0]))
    if name == "result":
        value = NOT_JSON.get(args[0], args[0]) if isinstance(args[0], str) else args[0]
        message = core.result_message(value, args[1], args[2])
        return message and decoded(message)
    if name == "receive":
        return decoded_all(core.receive(args[0], args[1].encode("utf-8")))
    if name == "ask":  # a message of an asker, at a time
        return decoded_all(core.receive(core.task_topic, json.dumps(args[0]).encode("utf-8"), *args[1:]))
    if name == "expire":
        return decoded_all(core.ring.expire(args[0]))
    if name == "give_back":
        return decoded_all(core.ring.give_back())
    if name == "cancelled":
        return list(core.ring.cancelled)
    if name == "progress":  # of a task at work
        return decoded(core.ring.progress(core.ring.at_work[args[0]], args[1], args[2]))
    if name == "receive_hex":
        return decoded_all(core.receive(args[0], unhexlify(args[1])))
    if name == "take_ids":
        taken = [core.take() for _ in range(args[0])]
        return [task and task["id"] for task in taken]
    if name == "counters":
        names = ("received", "rejected", "dropped", "duplicates", "repairs")
        counters = {counter: getattr(core, counter) for counter in names}
        counters["waiting"] = core.waiting()
        return counters
    if name == "lost":
        return core.lost()
    raise KeyError(name)


def scenario(vector):
    try:
        core = NodeCore(
            vector.get("node_id", "n1"),
            "ESP32",
            "b00t",
            {"keepalive": 60},
            vector.get("namespace", ""),
            vector.get("queue_limit", 64),
            ring_size=vector.get("ring"),
        )
    except ValueError:
        return "ValueError"
    outcome = []
    for each in vector["steps"]:
        try:
            outcome.append(step(core, *each))
        except ValueError:
            outcome.append("ValueError")
    return outcome


with open(sys.argv[1]) as file:
    vectors = json.load(file)
print(json.dumps([scenario(v) if "steps" in v else decode(v) for v in vectors]))
