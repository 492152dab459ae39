# mypy: ignore-errors
# ESP32 `esp32`: only what firmware commonly calls.
import _board

__getattr__ = _board.missing("esp32")

HEAP_DATA = 4
HEAP_EXEC = 1


def mcu_temperature():
    return 42


def raw_temperature():
    return 108


def idf_heap_info(capabilities):
    return [(160000, 110000, 90000, 80000)]
