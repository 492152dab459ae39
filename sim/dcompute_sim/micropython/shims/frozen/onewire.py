# mypy: ignore-errors
# `onewire`: a bus with DS18B20 thermometers, as many as `stand_ins` give its pin temperatures (`one_wire`).
#
# They begin with 85 degrees, as real ones do, and have what they measured 750 ms after they were told to: who
# reads sooner gets what was before.
import _board
import _wiring

_POWER_ON = 85 * 16
_CONVERT_US = 750000
_SKIP_ROM, _MATCH_ROM, _SEARCH_ROM = 0xCC, 0x55, 0xF0
_CONVERT, _READ, _WRITE = 0x44, 0xBE, 0x4E


class OneWireError(Exception):
    pass


def _crc8(data):
    crc = 0
    for byte in data:
        for _ in range(8):
            odd = (crc ^ byte) & 1
            crc = crc >> 1 ^ (0x8C if odd else 0)
            byte >>= 1
    return crc


class _Thermometer:
    def __init__(self, number, degrees):
        rom = bytes((0x28, number, 0, 0, 0, 0, 1))
        self.rom = rom + bytes((_crc8(rom),))
        self._degrees = degrees
        self._was = self._is = _POWER_ON
        self._due_us = 0
        self._settings = b"\x4b\x46\x7f"
        self._missing = 0  # of the settings that are being written

    def do(self, command):
        # Returns what it then sends.
        if self._missing:
            self._missing -= 1
            self._settings = self._settings[1:] + bytes((command,))
            return b""
        if command == _WRITE:
            self._missing = 3
        if command == _CONVERT:
            self._was, self._due_us = self._now(), _wiring.now_us() + _CONVERT_US
            degrees = _wiring.at(self._degrees)
            self._is = self._was if degrees is None else round(degrees * 16)
        if command != _READ:
            return b""
        sixteenths = self._now() & 0xFFFF
        data = bytes((sixteenths & 0xFF, sixteenths >> 8)) + self._settings + b"\xff\x0c\x10"
        return data + bytes((_crc8(data),))

    def _now(self):
        return self._is if _wiring.now_us() >= self._due_us else self._was


class OneWire:
    SEARCH_ROM = _SEARCH_ROM
    MATCH_ROM = _MATCH_ROM
    SKIP_ROM = _SKIP_ROM

    def __init__(self, pin):
        self.pin = pin
        pin.init(pin.OPEN_DRAIN, pin.PULL_UP)
        buses = _wiring.kept.setdefault("onewire", {})
        if pin._number not in buses:
            wired = _wiring.find("onewire", pin._number) or ()
            buses[pin._number] = [_Thermometer(*each) for each in enumerate(wired)]
        self._all = buses[pin._number]
        self._addressed = ()
        self._rom = None  # of MATCH_ROM, as far as it has come
        self._answer = b""

    def reset(self, required=False):
        _wiring.take(1000)
        self._addressed, self._rom, self._answer = None, None, b""
        for each in self._all:
            each._missing = 0
        if required and not self._all:
            raise OneWireError
        return bool(self._all)

    def writebyte(self, value):
        _wiring.take(600)
        if self._rom is not None:
            self._rom += bytes((value,))
            if len(self._rom) == 8:
                self._addressed = [each for each in self._all if each.rom == self._rom]
                self._rom = None
        elif self._addressed is None:
            self._addressed = self._all if value == _SKIP_ROM else ()
            if value == _MATCH_ROM:
                self._rom = b""
        else:
            for each in self._addressed:
                self._answer = each.do(value)

    def write(self, data):
        for byte in data:
            self.writebyte(byte)

    def readbyte(self):
        _wiring.take(600)
        byte = self._answer[0] if self._answer else 0xFF
        self._answer = self._answer[1:]
        return byte

    def readinto(self, buffer):
        for index in range(len(buffer)):
            buffer[index] = self.readbyte()

    def select_rom(self, rom):
        self.reset()
        self.writebyte(_MATCH_ROM)
        self.write(rom)

    def scan(self):
        _wiring.take(14000 * max(1, len(self._all)))
        return [bytearray(each.rom) for each in self._all]

    def crc8(self, data):
        return _crc8(data)

    def __getattr__(self, name):
        raise AttributeError("the emulator's onewire.OneWire has no %r (docs/esp32-port.md)" % name)
