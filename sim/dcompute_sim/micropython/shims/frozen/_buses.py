# mypy: ignore-errors
# `machine.I2C`, `SoftI2C`, `SPI`, `SoftSPI` of an ESP32.
#
# A device on I2C is registers: what `stand_ins` say stands in them for good, all others keep what is written.
# The first byte written chooses where reading begins, so that the answer to a command is what stands at its
# first byte. Of SPI what the device answers is the same bytes over and over.
import errno

import _board
import _wiring

_BITS_A_BYTE = 9  # with its acknowledgement


class _I2CBus:
    def init(self, scl=None, sda=None, *, freq=400000, timeout=50000):
        self._hz = freq

    def deinit(self):
        pass

    def scan(self):
        addresses = [int(key) for key in (_board.wiring or {}).get("machine.I2C", {})]
        if not addresses:
            _board.simpler("machine.I2C")
        _wiring.take(112 * _BITS_A_BYTE * 1000000 // self._hz)
        return sorted(addresses)

    def readfrom(self, address, count, stop=True):
        data = bytearray(count)
        self.readfrom_into(address, data)
        return bytes(data)

    def readfrom_into(self, address, buffer, stop=True):
        device = self._device(address, len(buffer))
        for index in range(len(buffer)):
            buffer[index] = device.read()

    def writeto(self, address, data, stop=True):
        data = bytes(data)
        self._device(address, len(data)).write(data)
        return len(data)

    def writevto(self, address, parts, stop=True):
        return self.writeto(address, b"".join([bytes(part) for part in parts]))

    def readfrom_mem(self, address, register, count, *, addrsize=8):
        data = bytearray(count)
        self.readfrom_mem_into(address, register, data, addrsize=addrsize)
        return bytes(data)

    def readfrom_mem_into(self, address, register, buffer, *, addrsize=8):
        _check(addrsize)
        self._device(address, addrsize // 8 + 1 + len(buffer)).pointer = register
        self.readfrom_into(address, buffer)

    def writeto_mem(self, address, register, data, *, addrsize=8):
        _check(addrsize)
        data = bytes(data)
        device = self._device(address, addrsize // 8 + len(data))
        device.pointer = register
        device.keep(data)

    def _device(self, address, byte_count):
        _wiring.take((1 + byte_count) * _BITS_A_BYTE * 1000000 // self._hz)
        devices = _wiring.kept.setdefault("I2C", {})
        if address not in devices:
            registers = _wiring.find("machine.I2C", address)
            if registers is None:
                raise OSError(errno.ENODEV)
            devices[address] = _Registers(registers)
        return devices[address]


def _check(addrsize):
    if addrsize & 7 or not 0 <= addrsize <= 32:
        raise ValueError("invalid addrsize")


class _Registers:
    def __init__(self, declared):
        self._declared = [(int(first), values) for first, values in declared.items()]
        self._written = {}
        self.pointer = 0

    def read(self):
        register = self.pointer
        self.pointer += 1
        declared = self._declared_at(register)
        return self._written.get(register, 0) if declared is None else declared

    def write(self, data):
        if data:
            self.pointer = data[0]
            self.keep(data[1:])

    def keep(self, data):
        at = self.pointer
        for byte in data:
            self._written[at] = byte
            at += 1

    def _declared_at(self, register):
        for first, values in self._declared:
            if first <= register:
                values = _wiring.at(values)
                if isinstance(values, int):
                    values = (values,)
                if values is not None and register < first + len(values):
                    return values[register - first]
        return None


class I2C(_I2CBus):
    def __init__(self, id=0, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        self.init(scl, sda, freq=freq, timeout=timeout)

    def start(self):
        raise OSError("I2C operation not supported")

    stop = start

    def write(self, data):
        raise OSError("I2C operation not supported")

    readinto = write


class SoftI2C(_I2CBus):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self.init(scl, sda, freq=freq, timeout=timeout)


class SPI:
    MSB = 0
    LSB = 1
    _key = None

    def __init__(self, id, baudrate=500000, **settings):
        if id not in (1, 2):
            raise ValueError("SPI(%d) doesn't exist" % id)
        self._key = id
        self.init(baudrate, **settings)

    def init(self, baudrate=None, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None):
        if baudrate is not None:
            self._hz = baudrate

    def deinit(self):
        pass

    def write(self, data):
        self._exchange(len(data))

    def read(self, count, write=0):
        return self._exchange(count)

    def readinto(self, buffer, write=0):
        buffer[:] = self._exchange(len(buffer))

    def write_readinto(self, data, buffer):
        if len(data) != len(buffer):
            raise ValueError("buffers must be the same length")
        buffer[:] = self._exchange(len(buffer))

    def _exchange(self, count):
        _wiring.take(count * 8 * 1000000 // self._hz)
        answer = bytes(_wiring.value("machine.SPI", self._key) or (0,))
        return (answer * (count // len(answer) + 1))[:count]


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, **settings):
        self._key = 0
        self.init(baudrate, **settings)
