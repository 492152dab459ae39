# mypy: ignore-errors
# `dht`: what stands at the pin measures as `stand_ins` say (`dht`); where there is none it times out.
import errno

import _board
import _wiring

_START_US = 268000  # the line is held for 250 ms, then pulled low for 18


class DHTBase:
    def __init__(self, pin):
        self.pin = pin
        self._measured = (0, 0)

    def measure(self):
        wired = _wiring.find("dht", self.pin._number)
        _board.kernel.sleep_us(_START_US)
        measured = wired and (_wiring.at(wired["temperature"]), _wiring.at(wired["humidity"]))
        if not measured or None in measured:
            raise OSError(errno.ETIMEDOUT)
        self._measured = measured


class DHT11(DHTBase):
    # Whole numbers.
    def humidity(self):
        return round(self._measured[1])

    def temperature(self):
        return round(self._measured[0])


class DHT22(DHTBase):
    # Tenths.
    def humidity(self):
        return round(self._measured[1] * 10) * 0.1

    def temperature(self):
        return round(self._measured[0] * 10) * 0.1
