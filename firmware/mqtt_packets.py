# The packets that a client sends, as bytes. Text is encoded before it is counted.


def string(value):
    # Two bytes of length, then the text or the bytes.
    if isinstance(value, str):
        value = value.encode()
    return len(value).to_bytes(2, "big") + value


def head(kind, size):
    # First byte and remaining length.
    packet = bytearray((kind,))
    while size > 0x7F:
        packet.append(size & 0x7F | 0x80)
        size >>= 7
    packet.append(size)
    return packet


def connect(client):
    # CONNECT, from umqtt.simple's attributes of `client`.
    flags = 2  # a clean session
    fields = string(client.client_id)
    if client.lw_topic:
        flags |= 4 | client.lw_qos << 3 | (0x20 if client.lw_retain else 0)
        fields += string(client.lw_topic) + string(client.lw_msg)
    if client.user is not None:
        flags |= 0x80
        fields += string(client.user)
        if client.pswd is not None:
            flags |= 0x40
            fields += string(client.pswd)
    fixed = b"\x00\x04MQTT\x04" + bytes((flags, client.keepalive >> 8, client.keepalive & 0xFF))
    return head(0x10, len(fixed) + len(fields)) + fixed + fields


def publish_head(topic, size, retain, qos, packet_id):
    # What a PUBLISH has before its payload of `size` bytes.
    fields = string(topic)
    if qos:
        fields += packet_id.to_bytes(2, "big")
    return head(0x30 | qos << 1 | (1 if retain else 0), len(fields) + size) + fields
