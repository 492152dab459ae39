# mypy: ignore-errors
# The flash of a board with a console: the folder that stands for it, mounted on "/", with a size that can run
# out and a power supply that can fail at any byte.
#
# A write that does not fit raises OSError 28 and changes nothing. A power cut leaves what was written before
# it (littlefs would keep the whole old file until close; this is the harder case, and FAT's).
import json

import _board
import vfs
from _streams import FileStream

BLOCK = 4096  # littlefs gives out whole blocks
_FOLDER = 0x4000
_FILE = 0x8000
_FOLDER_BYTES = 2 * BLOCK
_NO_NAME_OF_FAT = set('"*:<>?|')


def blocks(n):
    return (n + BLOCK - 1) // BLOCK * BLOCK


class Flash:
    def __init__(self, root, size, log=None, fat=False):
        self._files = vfs.VfsPosix(root)
        self._root = root
        self._machine = vfs.VfsPosix()
        self._log = log  # a file of the machine's; see sim/dcompute_sim/virtual_boards/flash_log.py
        self._fat = fat
        self._opened = 0
        self.size = size
        self.free = 0
        self.power_left = None  # how many steps until the power fails; None: it does not

    def __repr__(self):
        return "<VfsFat>" if self._fat else "<VfsLfs2>"  # `mpremote df` shows it

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def open(self, path, mode):
        if not ("w" in mode or "a" in mode or "+" in mode or "x" in mode):
            return self._files.open(path, mode)
        changes = "w" in mode or "x" in mode or ("a" in mode and not self._exists(path))
        if changes:
            self.step()
        text = "b" not in mode
        file = self._files.open(path, mode if not text else mode.replace("t", "") + "b")
        self.free = self.size - self._used("/")
        if self.free < 0:  # not even for its name
            file.close()
            self._files.remove(path)
            raise OSError(28)
        self._opened += 1
        self.log("open", path, file=self._opened, empty=changes)
        return _File(self, file, text, self._opened, "a" in mode)

    def _exists(self, path):
        try:
            self._files.stat(path)
            return True
        except OSError:
            return False

    def log(self, op, path="", data=b"", **more):
        if self._log:
            more["op"] = op
            if path:
                more["path"] = self._whole(path)
            if data:
                more["n"] = len(data)
            self._log.write(json.dumps(more).encode() + b"\n")
            self._log.write(data)

    def _whole(self, path):
        parts = []
        for part in (path if path[0] == "/" else self.getcwd() + "/" + path).split("/"):
            if part == "..":
                parts[-1:] = []
            elif part and part != ".":
                parts.append(part)
        return "/" + "/".join(parts)

    def stat(self, path):
        if self._fat and set(path) & _NO_NAME_OF_FAT:
            raise OSError(22)
        mode, _, _, _, _, _, size, at, mt, ct = self._files.stat(path)
        folder = mode & 0xF000 == _FOLDER
        return (_FOLDER if folder else _FILE, 0, 0, 0, 0, 0, 0 if folder else size, at, mt, ct)

    def ilistdir(self, path):
        for entry in sorted(self._files.ilistdir(path)):
            found = self.stat((path.rstrip("/") + "/" if path else "") + entry[0])
            yield (entry[0], found[0], 0, found[6])

    def statvfs(self, path):
        free = max(0, self.size - self._used("/")) // BLOCK
        return (BLOCK, BLOCK, self.size // BLOCK, free, free, 0, 0, 0, 0, 255)

    def chdir(self, path):
        self._files.chdir(path)

    def getcwd(self):
        return self._files.getcwd() or "/"

    def mkdir(self, path):
        self.step()
        if self._used("/") + _FOLDER_BYTES > self.size:
            raise OSError(28)
        self._files.mkdir(path)
        self.log("mkdir", path)

    def remove(self, path):
        self.step()
        self._files.remove(path)
        self.log("remove", path)

    def rmdir(self, path):
        self.step()
        self._files.rmdir(path)
        self.log("rmdir", path)

    def rename(self, old, new):
        self.step()
        # With a root of its own, the port's VfsPosix takes the new name for the old one as well.
        self._machine.rename(self._root + self._whole(old), self._root + self._whole(new))
        self.log("rename", old, to=self._whole(new))

    def step(self):
        # One thing that happens to the flash as a whole or not at all.
        if not self.powered(1):
            power_fails()

    def powered(self, n):
        # How many of the next n bytes are still written.
        if self.power_left is None:
            return n
        n = min(n, self.power_left)
        self.power_left -= n
        _board.report({"ev": "power_left", "steps": self.power_left})
        return n

    def _used(self, folder):
        used = _FOLDER_BYTES
        for name, kind, _, size in self.ilistdir(folder):
            used += self._used(folder + name + "/") if kind == _FOLDER else blocks(size)
        return used


def power_fails():
    _board.report({"ev": "power_failed"})
    _board.kernel.die()


class _File(FileStream):
    # A file open for writing.
    def __init__(self, flash, file, text, number, appends):
        self._flash = flash
        self._f = file
        self._text = text
        self._number = number
        self._appends = appends
        self._closed = False
        at = file.tell()
        self._size = file.seek(0, 2)
        file.seek(at)

    def write(self, data, n=-1):
        raw = data.encode() if isinstance(data, str) else bytes(data)
        if n >= 0:
            raw = raw[:n]
        at = self._size if self._appends else self._f.tell()
        end = max(self._size, at + len(raw))
        more = blocks(end) - blocks(self._size)
        if more > self._flash.free:
            raise OSError(28)
        kept = self._flash.powered(len(raw))
        self._f.write(raw[:kept])
        if kept:
            self._flash.log("write", data=raw[:kept], file=self._number, at=at)
        if kept < len(raw):
            power_fails()
        self._flash.free -= more
        self._size = end
        return len(data) if n < 0 else n

    def _out(self, data):
        return data.decode() if self._text else data

    def read(self, n=-1):
        return self._out(self._f.read(n))

    def readline(self):
        return self._out(self._f.readline())

    def readinto(self, buffer, n=-1):
        return self._f.readinto(buffer) if n < 0 else self._f.readinto(buffer, n)

    def seek(self, offset, whence=0):
        return self._f.seek(offset, whence)

    def tell(self):
        return self._f.tell()

    def flush(self):
        self._flash.log("sync", file=self._number)

    def close(self):
        if not self._closed:
            self._closed = True
            self.flush()
            self._f.close()

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line
