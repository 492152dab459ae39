# mypy: ignore-errors
# ESP32 `esp`: only what firmware commonly calls.
import _board

LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_VERBOSE = range(6)

__getattr__ = _board.missing("esp")


def osdebug(*level):
    pass


def flash_size():
    return 4 * 1024 * 1024
