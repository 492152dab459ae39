# mypy: ignore-errors
# Runs under MicroPython's unix port: the board's own link, reader and core on packets that a hostile broker
# sends. Standard input: chunks, each with its length in two bytes before it; one of length 0 is the end.
# Each is what a connection brings after a proper beginning. Standard output: a line of JSON.
import gc
import io
import json
import sys


class Wifi:
    def __init__(self, *_):
        pass

    def join(self):
        return True

    is_joined = join

    def reset(self):
        pass


class Socket(io.IOBase):
    # A broker at the other end that answers what it must, and says what it is told to.
    def __init__(self):
        self.inbound = b""
        self.sent = []

    def readinto(self, buffer):
        n = min(len(buffer), len(self.inbound))
        buffer[:n] = self.inbound[:n]
        self.inbound = self.inbound[n:]
        return n or None

    def write(self, data, size=None):
        data = bytes(memoryview(data)[: size or len(data)])
        kind = data[0] & 0xF0 if data else 0
        if kind == 0x10:
            self.inbound += b"\x20\x02\0\0"
        elif data[0] == 0x82:  # all that it subscribes to has a length of one byte
            self.inbound += b"\x90\x03" + data[2:4] + b"\x01"
        elif data[0] & 0xF6 == 0x32:
            at = 1
            while data[at] & 0x80:
                at += 1
            at += 1
            at += 2 + (data[at] << 8 | data[at + 1])
            self.inbound += b"\x40\x02" + data[at : at + 2]
        self.sent.append(data)
        return len(data)

    def ioctl(self, request, argument):
        return argument if request == 3 else 0

    def settimeout(self, _):
        pass

    def setblocking(self, _):
        pass

    def close(self):
        pass


sockets = []


def dialled(*_):
    sockets[:] = [Socket()]
    return sockets[0], sockets[0]


class Faked:  # a module, to who imports from it
    Wifi = Wifi
    dial = staticmethod(dialled)


sys.modules["wifi"] = sys.modules["dial"] = Faked

from link import Link  # noqa: E402
from mqtt_client import MqttClient  # noqa: E402

from dcompute.node_core import NodeCore  # noqa: E402


class Settings:
    hold_limit = 20
    watchdog = None
    led = None


raised = {}


def said(text):
    what, _, error = text.partition(": ")
    ended = what in ("connection lost", "cannot connect")
    if "MemoryError" in text or (ended and not error.startswith(("OSError", "MQTTException", "'reset'"))):
        raised[text] = raised.get(text, 0) + 1


def serves(link):
    # A genuine task, taken in and answered with a status that the broker hears.
    link.open()
    sockets[0].inbound += b'\x30\x14\x00\x01n{"id": "genuine"}'
    for _ in range(20):
        link.service()
        sockets[0].sent.clear()
    found = False
    while True:
        task = core.take()
        if not task:
            return found
        found = found or task["id"] == "genuine"


core = NodeCore("n", "ESP32", "b00t", {"keepalive": 60}, ring_size=(4, 2, 1024))
link = Link(core, MqttClient("n", "broker", 1883, None, None, 60, None), Settings)
link.say = said
connections = 0
in_use = []
source = sys.stdin.buffer
while True:
    size = int.from_bytes(source.read(2), "big")
    if not size:
        break
    chunk = source.read(size)
    link.open()
    connections += 1
    sockets[0].inbound += chunk
    while link.online and sockets[0].inbound:
        link.service()
        sockets[0].sent.clear()
    link.reset()
    while core.take():
        pass
    if connections % 1000 == 0:
        gc.collect()
        in_use.append(gc.mem_alloc())
gc.collect()
in_use.append(gc.mem_alloc())
print(json.dumps({"raised": raised, "connections": connections, "in_use": in_use, "serves": serves(link)}))
