# What a board says of an update, on the topic `updates`.

from update.mac import mac


def say(slot, key, kind, body):
    message = sealed(slot, key, kind, body)
    link = slot.link
    with link.state:
        link.outbox.add_status((link.core.topics.prefix + "updates", message, False))


def sealed(slot, key, kind, body):
    node = slot.link.core.node_id.encode()
    message = kind + bytes((len(node),)) + node + body
    return message + mac(key, message)[:16]


def tell(slot, code, reason=""):
    # How it goes: 1 refused, 2 failed, 3 staged.
    say(slot, slot.session, b"DCU2S", bytes((code,)) + reason.encode())
