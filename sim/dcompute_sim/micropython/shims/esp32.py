# mypy: ignore-errors
# ESP32 `esp32`: storage beside the files, sources of waking, what firmware commonly asks of the chip.
import _board
import _pin
from machine import Pin

_missing = _board.missing("esp32")


def __getattr__(name):
    if name == "Partition":
        return __import__("_partition").Partition
    return _missing(name)


HEAP_DATA = 4
HEAP_EXEC = 1
WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True

_NOT_FOUND = (-0x1102, "ESP_ERR_NVS_NOT_FOUND")
_KEY_TOO_LONG = (-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
_INVALID_LENGTH = (-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
_NAME_CHARS = 15
_I32 = 1 << 31


class NVS:
    # What is set is seen at once, and outlives the power once it is committed.
    def __init__(self, namespace):
        if len(namespace) > _NAME_CHARS:
            raise OSError(*_KEY_TOO_LONG)
        self._namespace = namespace
        stored = _board.kept.setdefault("nvs", {})
        self._values = stored.setdefault(namespace, {})  # a number, or bytes in hexadecimal

    def __repr__(self):
        return "<NVS namespace>"

    def set_i32(self, key, value):
        if not -_I32 <= value | 0 < _I32:
            raise OverflowError("overflow converting long int to machine word")
        self._set(key, value)

    def get_i32(self, key):
        return self._get(key, int)

    def set_blob(self, key, value):
        self._set(key, (value.encode() if isinstance(value, str) else bytes(value)).hex())

    def get_blob(self, key, buffer):
        value = bytes.fromhex(self._get(key, str))
        if len(value) > len(buffer):
            raise OSError(*_INVALID_LENGTH)
        buffer[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        if key not in self._values:
            raise OSError(*_NOT_FOUND)
        del self._values[key]

    def commit(self):
        _board.keep("nvs", _board.kept["nvs"])
        if _board.committed:
            _board.committed()

    def _set(self, key, value):
        if len(key) > _NAME_CHARS:
            raise OSError(*_KEY_TOO_LONG)
        self._values[key] = value

    def _get(self, key, kind):
        value = self._values.get(key)
        if not isinstance(value, kind):
            raise OSError(*_NOT_FOUND)
        return value


def wake_on_ext0(pin=None, level=True):
    _board.simpler("esp32.wake_on")
    if pin is not None:
        _rtc_pin(pin)


def wake_on_ext1(pins=None, level=True):
    _board.simpler("esp32.wake_on")
    for pin in pins or ():
        _rtc_pin(pin)


def wake_on_gpio(pins=None, level=True):
    _board.simpler("esp32.wake_on")
    for pin in pins or ():
        Pin(pin)


def wake_on_touch(wake):
    _board.simpler("esp32.wake_on")


def wake_on_ulp(wake):
    _board.simpler("esp32.wake_on")


def gpio_deep_sleep_hold(enable):
    pass


def _rtc_pin(pin):
    if Pin(pin)._number not in _pin._RTC_NUMBERS:
        raise ValueError("invalid pin")


def raw_temperature():
    _board.simpler("esp32.raw_temperature")
    return 108


def idf_heap_info(capabilities):
    _board.simpler("esp32.idf_heap_info")
    return [(160000, 110000, 90000, 80000)]
