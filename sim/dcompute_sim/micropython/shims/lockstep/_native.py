# mypy: ignore-errors
# Memory outside the board's heap, and the machine's calls: what the kernel and the sockets are built on.
#
# A board's heap may be full at any moment, and what a chip has in lwIP's buffers takes none of it. So nothing
# here allocates when it is called: a number of more than 30 bits is an object where words have 32, and memory
# is therefore taken at low addresses (`allocate`).
import ffi

_libc = ffi.open(None)


def _system_call(result, name, arguments):
    # In a process of several threads glibc makes each `read` and `write` a point where a thread may be
    # cancelled, and on i386 that takes `int $0x80`: 8 us a call where the plain one takes 0.6. It has the
    # plain ones as well, for its own use; another library has not, nor the trouble.
    try:
        return _libc.func(result, "__" + name + "_nocancel", arguments)
    except OSError:
        return _libc.func(result, name, arguments)


exit = _libc.func("v", "_exit", "i")
read = _system_call("l", "read", "ipL")
write = _system_call("l", "write", "iPL")
_mmap = _libc.func("p", "mmap", "pLiiil")
free = _libc.func("i", "munmap", "pL")
fill = _libc.func("v", "memmove", "PpL")
move = _libc.func("v", "memmove", "ppL")
copy_from = _libc.func("v", "memmove", "pPL")
_LOWEST, _HIGHEST, _PAGE_BYTES = 0x10000000, 0x3F000000, 4096
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_lowest_free = _LOWEST


def allocate(size):
    # Memory that is not the board's heap, at an address that needs none of it either: the machine's choice is
    # above 30 bits. Where a page is taken it chooses all the same.
    global _lowest_free
    if _lowest_free + size > _HIGHEST:
        _lowest_free = _LOWEST
    address = _mmap(_lowest_free, size, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    _lowest_free += (size + _PAGE_BYTES - 1) // _PAGE_BYTES * _PAGE_BYTES
    return address


def grow(address, size, to_size):
    larger = allocate(to_size)
    if size:
        move(larger, address, size)
        free(address, size)
    return larger
