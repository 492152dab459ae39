# umqtt.simple with its faults closed, for 1.3.4 and every later release.
#
# What umqtt.simple leaves open, and where it is closed here: waits without end for a PUBACK or half a packet
# (`publish` does not wait, PacketReader does not block), pings unsent and answers unread (`keep_alive`),
# packet ids past 65535 (`_next_id`), text counted in characters (`mqtt_packets`), a socket left open by a
# failed connect (`abort`), no time limit on connecting before 1.5.0 (`dial`). All that is
# taken from it: constructor, setters, attributes; they are the same in every release.

import errno
import select
import time

from micropython import const
from umqtt.simple import MQTTClient, MQTTException

import mqtt_packets as packets
from dial import dial
from mqtt_reader import PacketReader

_MOST_PER_CHECK = const(32)  # packets; a flood of them must not keep the caller from its other work


class MqttClient(MQTTClient):
    # A client that waits for nothing unboundedly, and says OSError when its link is dead.
    #
    # `set_callback(f)`: f(topic, payload, size), where `payload` is a memoryview, valid during the call, or
    # None if `size` bytes were too many to keep. Not called for retained messages: they were meant for a
    # connection that is gone, and a node says its own status at each. `on_puback(packet_id)` is told of every
    # PUBACK; `idle(ms)` is called while waiting for the broker.
    # All calls but `wait` are for one thread at a time.

    def __init__(self, client_id, server, port, user, password, keepalive, tls):
        super().__init__(client_id, server, port, user, password, keepalive)
        self.tls = tls
        self.answer_ms = min(10, keepalive) * 1000  # patience for any answer of the broker
        self.reader = PacketReader(4096)
        self.on_puback = None
        self.idle = None
        self._raw = None
        self._poller = None
        self._answer = None
        self._pinged = False
        self._more = False
        self._sent_ms = 0

    def connect(self):
        # CONNECT, wait for CONNACK. OSError or MQTTException(return code) leave the socket closed.
        self.abort()
        try:
            self.sock, self._raw = dial(self.server, self.port, self.tls, self.answer_ms / 1000, self.idle)
            self._poller = select.poll()
            self._poller.register(self._raw, select.POLLIN)  # all that TLS has decoded is read already
            self._pinged = False
            self.reader.reset()
            self._send(packets.connect(self))
            answer = self._await(0x20, 2)
            if answer[1]:
                raise MQTTException(answer[1])
        except BaseException:
            self.abort()
            raise

    def subscribe(self, topic, qos=0):
        # SUBSCRIBE, wait for SUBACK. MQTTException(0x80) if the broker refuses.
        packet_id = self._next_id().to_bytes(2, "big")
        fields = packet_id + packets.string(topic) + bytes((qos,))
        self._send(packets.head(0x82, len(fields)) + fields)
        answer = self._await(0x90, 3)
        if answer[2] & 0x80 or answer[:2] != packet_id:
            raise MQTTException(answer[2])

    def _await(self, kind, size):
        deadline = time.ticks_add(time.ticks_ms(), self.answer_ms)
        self._answer = None
        while True:
            if self._read_packet():
                if self._answer and self._answer[0] == kind:
                    if len(self._answer[1]) != size:
                        raise OSError(errno.EIO)
                    return self._answer[1]
                continue
            left_ms = time.ticks_diff(deadline, time.ticks_ms())
            if left_ms <= 0:
                raise OSError(errno.ETIMEDOUT)
            self.idle(0)
            self.wait(min(left_ms, 1000))

    def disconnect(self):
        # DISCONNECT: the broker drops the will. For a wanted end only, never to tidy up after an error.
        try:
            self._send(b"\xe0\0")
        except OSError:
            pass
        self.abort()

    def abort(self):
        # Close the socket without DISCONNECT, so that the will comes.
        sock = self.sock
        self.sock = self._raw = self._poller = None
        self.reader.done()
        if sock:
            try:
                sock.close()  # once: after that the file number may be another socket's
            except OSError:
                pass

    def publish(self, topic, msg, retain=False, qos=0):
        # Send; returns the packet id (0 at QoS 0) that `on_puback` will be told.
        if isinstance(msg, str):
            msg = msg.encode()
        packet_id = self._next_id() if qos else 0
        head = packets.publish_head(topic, len(msg), retain, qos, packet_id)
        start = len(head)
        size = start + len(msg)
        kept = self.reader.kept  # a heap in pieces has no room to put a packet together
        if size <= len(kept) and not self.reader.kind:
            kept[:start] = head
            kept[start:size] = msg
            self._send(kept, size)
        else:
            self._send(head)
            self._send(msg)
        return packet_id

    def keep_alive(self):
        # Ping when a direction is quiet for half the keepalive; OSError if the broker has gone silent. Also
        # while a packet comes in bit by bit: the broker waits for a word all the while. But its answers then
        # look like more of the packet; so one that takes two keepalives is taken for garbage.
        if self.quiet_ms() <= 0:
            awaited = self._pinged or self.reader.kind
            now = time.ticks_ms()
            if awaited and time.ticks_diff(now, self.reader.heard_ms) >= self.answer_ms:
                raise OSError(errno.ETIMEDOUT)
            if self.reader.kind and time.ticks_diff(now, self.reader.begun_ms) >= self.keepalive * 2000:
                raise OSError(errno.ETIMEDOUT)
            self._send(b"\xc0\0")
            self._pinged = True
            if not awaited:
                self.reader.heard_ms = self._sent_ms

    def quiet_ms(self):
        # For how long nothing needs doing unless bytes arrive.
        now = time.ticks_ms()
        heard_ms = time.ticks_diff(now, self.reader.heard_ms)
        sent_ms = time.ticks_diff(now, self._sent_ms)
        if self._pinged or self.reader.kind:
            return min(self.answer_ms - heard_ms, self.keepalive * 500 - sent_ms)
        return self.keepalive * 500 - max(heard_ms, sent_ms)

    def _next_id(self):
        self.pid = self.pid % 65535 + 1  # 0 is no packet id [MQTT-2.3.1-1]
        return self.pid

    def _send(self, data, size=None):
        # Bounded, and whole or fatal: after half a packet only a new connection helps.
        size = size or len(data)
        if not self.sock:
            raise OSError(errno.ENOTCONN)
        self._raw.settimeout(self.answer_ms / 1000)
        if self.sock.write(data, size) != size:
            raise OSError(errno.ETIMEDOUT)
        self._raw.setblocking(False)
        self._sent_ms = time.ticks_ms()

    def wait(self, ms):
        # Sleep until bytes arrive or `ms` have passed.
        poller = self._poller
        if poller and not self._more:
            poller.poll(max(0, ms))

    def check_msg(self):
        # Take in what has arrived, without waiting. OSError when the link is gone.
        self._more = False
        for _ in range(_MOST_PER_CHECK):
            if not self._read_packet():
                return
        self._more = True  # TLS may hold it where `wait` does not look

    def _read_packet(self):
        reader = self.reader
        if not self.sock:
            raise OSError(errno.ENOTCONN)
        if not reader.read(self.sock):
            return False
        kind = reader.kind
        body = reader.body
        size = reader.size
        reader.done()
        operation = kind & 0xF0
        if operation == 0x30:
            self._take_publish(kind, body, size)
        elif operation == 0x40 and size == 2:
            self.on_puback(body[0] << 8 | body[1])
        elif operation == 0xD0:
            self._pinged = False
        elif operation in (0x20, 0x90):
            self._answer = (operation, bytes(body))
        else:
            raise OSError(errno.EIO)
        return True

    def _take_publish(self, kind, body, size):
        qos = kind >> 1 & 3
        start = 2 + (body[0] << 8 | body[1]) if size > 2 else 0
        end = start + 2 if qos else start
        if start < 3 or qos > 1 or end > len(body):
            raise OSError(errno.EIO)  # no packet for us: we never ask for QoS 2
        view = memoryview(body)
        if not kind & 1:
            self.cb(bytes(view[2:start]), view[end:] if size == len(body) else None, size - end)
        if qos:
            self._send(b"\x40\x02" + view[start:end])
