# mypy: ignore-errors
# MicroPython's own, but that a file is read at once: the unix port reads each character by a system call,
# which takes 8 us in a process with threads (lockstep/_native.py); a chip has its flash in a cache. An update
# reads its manifest once for each file. The text lies outside the board's heap: a chip has none of it there.
import ffi
import uctypes
from ujson import dump, dumps, load as _load, loads

_BYTES = 16384
_text = memoryview(uctypes.bytearray_at(ffi.open(None).func("p", "malloc", "L")(_BYTES), _BYTES))
with open(__file__) as _file, open(__file__, "rb") as _bytes_file:
    _FILES = type(_file), type(_bytes_file)
del _file, _bytes_file


def load(stream):
    global _text
    text, _text = _text, None  # nobody's else until it is put back: reading lets other threads run
    if text is None or type(stream) not in _FILES:
        _text = _text or text
        return _load(stream)
    try:
        begin = stream.tell()
        size = stream.readinto(text)
        if size == _BYTES:  # there is more of it
            stream.seek(begin)
            return _load(stream)
        return loads(text[:size])
    finally:
        _text = text
