"""MQTT 3.1.1 packets: how they are framed, read and written. Bytes in, values out; no state."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dcompute_sim.brokers.model.broker_config import ReturnCode
from dcompute_sim.brokers.model.topics import has_wildcard

MAX_SEPARATORS = 200
"""In a topic, as mosquitto: a tree node a level makes 64 KiB of slashes costly."""

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = range(8, 15)

PUBACK_HEAD = b"\x40\x02"
PUBREC_HEAD = b"\x50\x02"
PUBREL_HEAD = b"\x62\x02"
PUBCOMP_HEAD = b"\x70\x02"
UNSUBACK_HEAD = b"\xb0\x02"
PING, PONG = b"\xc0\x00", b"\xd0\x00"
"""PINGREQ and PINGRESP, whole."""

_LEVEL, _LEVEL_5 = 4, 5  # of MQTT 3.1.1 and of MQTT 5 (3.1.2.2)

DUP = 0x08
RETAIN = 0x01

# U+0000 must close the connection [MQTT-1.5.3-2]. Control characters and non-characters may (1.5.3), and do,
# as with mosquitto: whoever logs or displays a topic need not fear them.
_NON_CHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef{_NON_CHARACTERS}]")

_CUT_SHORT = "a packet ends before its content does"

MAX_CONNECT_LENGTH = 10 + 5 * 65_537
"""No CONNECT is longer: variable header and five fields. Spares us a stranger's 256 MiB."""


class ProtocolError(Exception):
    """The client broke the protocol: its connection must be closed [MQTT-4.8.0-1]; the message says how."""


def text(field: bytes) -> str:
    """Decode a UTF-8 string, refusing what section 1.5.3 forbids."""
    try:
        decoded = field.decode()  # refuses surrogates [MQTT-1.5.3-1], keeps U+FEFF [MQTT-1.5.3-3]
    except UnicodeDecodeError:
        raise ProtocolError("a string is not UTF-8 [MQTT-1.5.3-1]") from None
    if _FORBIDDEN.search(decoded):
        raise ProtocolError("a string holds U+0000, a control character or a non-character [MQTT-1.5.3-2]")
    return decoded


class Reader:
    """A cursor over a packet's bytes after the fixed header."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def byte(self) -> int:
        start = self._position
        if start >= len(self._data):
            raise ProtocolError(_CUT_SHORT)
        self._position = start + 1
        return self._data[start]

    def number(self) -> int:
        start = self._position
        self._position = stop = start + 2
        if stop > len(self._data):
            raise ProtocolError(_CUT_SHORT)
        return self._data[start] << 8 | self._data[start + 1]

    def field(self) -> bytes:
        """Return the bytes preceded by their length."""
        data, start = self._data, self._position + 2
        self._position = stop = start + int.from_bytes(data[start - 2 : start], "big")
        if stop > len(data):
            raise ProtocolError(_CUT_SHORT)
        return data[start:stop]

    def packet_id(self) -> int:
        packet_id = self.number()
        if packet_id == 0:
            raise ProtocolError("packet identifier 0 [MQTT-2.3.1-1]")
        return packet_id

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)


@dataclass(frozen=True, slots=True)
class Will:
    topic: bytes
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    client_id: str
    clean: bool
    keepalive_s: int
    will: Will | None
    user_name: str | None
    password: bytes | None


class Refused(Exception):
    """A CONNECT to be answered with a return code before the connection is closed."""

    def __init__(self, code: ReturnCode, level: int = _LEVEL) -> None:
        super().__init__(code.name.lower().replace("_", " "))
        self.code = code
        # MQTT 5's CONNACK has a reason code of its own ("unsupported protocol version") and properties.
        self.answer = b"\x20\x03\x00\x84\x00" if level >= _LEVEL_5 else connack(False, code)


def parse_connect(body: bytes) -> Connect:
    """Read a CONNECT. Raises ProtocolError (close) or Refused (CONNACK with its code, then close)."""
    reader = Reader(body)
    name = reader.field()
    if name not in (b"MQTT", b"MQIsdp"):  # the latter is MQTT 3.1's
        raise ProtocolError("the protocol name is not MQTT [MQTT-3.1.2-1]")
    level = reader.byte()
    if name != b"MQTT" or level != _LEVEL:
        raise Refused(ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION, level)  # [MQTT-3.1.2-2]
    connect_flags = reader.byte()
    has_will = bool(connect_flags & 0x04)
    has_user_name = bool(connect_flags & 0x80)
    has_password = bool(connect_flags & 0x40)
    will_qos = connect_flags >> 3 & 3
    if connect_flags & 0x01:
        raise ProtocolError("CONNECT with its reserved flag set [MQTT-3.1.2-3]")
    if not has_will and connect_flags & 0x38:
        raise ProtocolError("will QoS or retain without a will [MQTT-3.1.2-13, 3.1.2-15]")
    if will_qos == 3:
        raise ProtocolError("will QoS 3 [MQTT-3.1.2-14]")
    if has_password and not has_user_name:
        raise ProtocolError("a password without a user name [MQTT-3.1.2-22]")
    keepalive_s = reader.number()
    client_id = text(reader.field())  # the fields come in this order [MQTT-3.1.3-1]
    will = None
    if has_will:
        topic, payload = reader.field(), reader.field()
        check_topic(topic)
        will = Will(topic, payload, will_qos, bool(connect_flags & 0x20))
    user_name = text(reader.field()) if has_user_name else None
    password = reader.field() if has_password else None
    if not reader.at_end:
        raise ProtocolError("CONNECT longer than its content")
    return Connect(client_id, bool(connect_flags & 0x02), keepalive_s, will, user_name, password)


def parse_subscribe(flags: int, body: bytes) -> tuple[int, list[tuple[bytes, int]]]:
    """Read a SUBSCRIBE: its packet id, and each filter with the QoS asked for."""
    if flags != 2:
        raise ProtocolError("SUBSCRIBE with wrong header flags [MQTT-3.8.1-1]")
    reader = Reader(body)
    packet_id = reader.packet_id()
    wanted: list[tuple[bytes, int]] = []
    while not reader.at_end:
        topic_filter = reader.field()
        check_filter(topic_filter)
        qos = reader.byte()
        if qos > 2:
            raise ProtocolError("SUBSCRIBE asks for a QoS beyond 2 or sets reserved bits [MQTT-3.8.3-4]")
        wanted.append((topic_filter, qos))
    if not wanted:
        raise ProtocolError("SUBSCRIBE without a filter [MQTT-3.8.3-3]")
    return packet_id, wanted


def parse_unsubscribe(flags: int, body: bytes) -> tuple[int, list[bytes]]:
    """Read an UNSUBSCRIBE: its packet id and filters."""
    if flags != 2:
        raise ProtocolError("UNSUBSCRIBE with wrong header flags [MQTT-3.10.1-1]")
    reader = Reader(body)
    packet_id = reader.packet_id()
    filters: list[bytes] = []
    while not reader.at_end:
        topic_filter = reader.field()
        check_filter(topic_filter)
        filters.append(topic_filter)
    if not filters:
        raise ProtocolError("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]")
    return packet_id, filters


def parse_acknowledgement(kind: int, flags: int, body: bytes) -> int:
    """Read PUBACK, PUBREC, PUBREL or PUBCOMP: the packet id."""
    if flags != (2 if kind == PUBREL else 0):
        raise ProtocolError("an acknowledgement with wrong header flags [MQTT-2.2.2-2, 3.6.1-1]")
    if len(body) != 2:
        raise ProtocolError("an acknowledgement that is not two bytes long")
    return Reader(body).packet_id()


def check_topic(topic: bytes) -> None:
    """Refuse what is no topic name: empty [MQTT-4.7.3-1], with wildcards [MQTT-3.3.2-2], ill-formed."""
    _check_size(topic)
    if has_wildcard(topic):
        raise ProtocolError("a wildcard in a topic name [MQTT-3.3.2-2]")
    text(topic)


def check_filter(topic_filter: bytes) -> None:
    """Refuse what is no topic filter: empty [MQTT-4.7.3-1], or with a wildcard where none may be."""
    _check_size(topic_filter)
    text(topic_filter)
    if not has_wildcard(topic_filter):
        return
    if b"#" in topic_filter and topic_filter != b"#" and topic_filter.find(b"#") != len(topic_filter) - 1:
        raise ProtocolError("# is not the last level of a topic filter [MQTT-4.7.1-2]")
    for level in topic_filter.split(b"/"):
        if len(level) > 1 and (b"+" in level or b"#" in level):
            raise ProtocolError("a wildcard that is not a whole level [MQTT-4.7.1-2, 4.7.1-3]")


def _check_size(topic: bytes) -> None:
    if not topic:
        raise ProtocolError("an empty topic [MQTT-4.7.3-1]")
    if topic.count(b"/") > MAX_SEPARATORS:
        raise ProtocolError(f"a topic of more than {MAX_SEPARATORS + 1} levels")


def encode_length(length: int) -> bytes:
    """Return the remaining length of a fixed header (2.2.3)."""
    if length < 1 << 7:
        return bytes((length,))
    if length < 1 << 14:  # nearly all that are longer than that
        return bytes((length & 127 | 128, length >> 7))
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def publish_head(topic: bytes, payload: bytes, qos: int, retain: bool = False) -> bytes:
    """Return all of a PUBLISH that comes before its packet id (QoS 1, 2) or its payload (QoS 0)."""
    first = bytes((PUBLISH << 4 | qos << 1 | retain,))
    length = encode_length(2 + len(topic) + len(payload) + (2 if qos else 0))
    return first + length + len(topic).to_bytes(2, "big") + topic  # sooner than by `%`


def connack(session_present: bool, code: ReturnCode) -> bytes:
    """Return a CONNACK; session present only with ACCEPTED [MQTT-3.2.2-4]."""
    return bytes((CONNACK << 4, 2, session_present, code))


REFUSED = 0x80
"""A subscription that is not granted (table 3.9.3)."""


def suback(packet_id: int, granted: list[int]) -> bytes:
    """Return a SUBACK with one return code for each filter, in order [MQTT-3.8.4-5, 3.9.3-1]."""
    body = packet_id.to_bytes(2, "big") + bytes(granted)
    return bytes((SUBACK << 4,)) + encode_length(len(body)) + body
