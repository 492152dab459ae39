# mypy: ignore-errors
# `ds18x20`: thermometers on a bus of `onewire`.
from onewire import _CONVERT, _READ, _WRITE

_FAMILIES = (0x10, 0x22, 0x28)


class DS18X20:
    def __init__(self, onewire):
        self.ow = onewire
        self.buf = bytearray(9)

    def scan(self):
        return [rom for rom in self.ow.scan() if rom[0] in _FAMILIES]

    def convert_temp(self):
        self.ow.reset(True)
        self.ow.writebyte(self.ow.SKIP_ROM)
        self.ow.writebyte(_CONVERT)

    def read_scratch(self, rom):
        self.ow.reset(True)
        self.ow.select_rom(rom)
        self.ow.writebyte(_READ)
        self.ow.readinto(self.buf)
        if self.ow.crc8(self.buf):
            raise Exception("CRC error")
        return self.buf

    def write_scratch(self, rom, buf):
        self.ow.reset(True)
        self.ow.select_rom(rom)
        self.ow.writebyte(_WRITE)
        self.ow.write(buf)

    def read_temp(self, rom):
        low, high = self.read_scratch(rom)[:2]
        sixteenths = high << 8 | low
        return (sixteenths - 65536 if high & 0x80 else sixteenths) / 16
