# mypy: ignore-errors
# Runs under MicroPython's unix port: MicroPython's own littlefs and FAT on a flash that loses its power.
#
# The flash is NOR as a chip has it: erasing sets a block's bits, programming clears some. What the filesystem
# asks of it is written down, one operation after the other; afterwards the flash is built up again to any of
# them, and as a cut in the middle of it leaves it: half programmed, its last byte with only some of its bits,
# half erased, or whole but for a bit that flipped. Each such flash is mounted anew, and everything on it is
# read.
#
# Standard input: lines of JSON. Changes are as flash_log.py has them, with the bytes that they write behind.
#   {"op": "flash", "kind": "lfs2" | "fat", "blocks": n}   a new one, empty
#   {"op": "watch"}                                        from here on operations are counted
#   {"op": "cuts", "every": n, "seed": n}                  try every n-th
#   {"op": "back", "to": n, "variant": n, "seed": n}       the flash as that cut left it, of the changes that
#                                                          were watched first; changes go on there
#   {"op": "tell", "at": n, "blocks": n}                   the flash as it is now, by that number
#   {"op": "flip", "at": n, "seed": n}                     from here on; a bit of the n-th operation's flips
# Standard output: a line of JSON for each flash that was read: its cut, its bytes by a sum of them, and its
# tree by a number; the first of each number with all that is on it, contents by numbers of their own.
import hashlib
import json
import random
import sys

import vfs

BLOCK = 4096
_FOLDER = 0x4000


class Device:
    # What MicroPython asks of a block device, with the operations that reach the flash written down.
    def __init__(self, blocks):
        self.image = bytearray(b"\xff" * (blocks * BLOCK))
        self.blocks = blocks
        self.ops = None  # (offset, bytes) programmed, (offset, None) a block erased
        self.count = self.flip_at = 0  # operations, and the one of which a bit flips
        self.seed = 0

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK + offset
        buffer[:] = memoryview(self.image)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:  # FAT's: whole blocks, each written at one stroke or not at all
            data = bytes(buffer)
            for at in range(0, len(data), BLOCK):
                start = block * BLOCK + at
                if self.ops is not None:
                    self.ops.append((start, data[at : at + BLOCK]))
                self.image[start : start + BLOCK] = data[at : at + BLOCK]
                self._done((start, data[at : at + BLOCK]))
        else:
            self._program(block * BLOCK + offset, bytes(buffer))

    def ioctl(self, op, argument):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self._erase(argument)
        return 0

    def redo(self, image, op):
        at, data = op
        if data is None:
            erase(image, at, BLOCK)
        elif len(data) == BLOCK:  # FAT's
            image[at : at + BLOCK] = data
        else:
            program(image, at, data)

    def _erase(self, block):
        if self.ops is not None:
            self.ops.append((block * BLOCK, None))
        erase(self.image, block * BLOCK, BLOCK)
        self._done((block * BLOCK, None))

    def _program(self, at, data):
        if self.ops is not None:
            self.ops.append((at, data))
        program(self.image, at, data)
        self._done((at, data))

    def _done(self, op):
        self.count += 1
        if self.count == self.flip_at:
            flip(self.image, op, self.seed)


@micropython.viper  # noqa: F821
def clear_bits(image: ptr8, at: int, data: ptr8, n: int):  # noqa: F821
    for i in range(n):
        image[at + i] = image[at + i] & data[i]


def program(image, at, data):
    clear_bits(image, at, data, len(data))


def erase(image, at, n):
    image[at : at + n] = b"\xff" * n


def flip(image, op, seed):
    # One bit of what an operation left is another than it should be.
    at, data = op
    random.seed(seed)
    place = at + random.getrandbits(24) % (BLOCK if data is None else len(data))
    image[place] ^= 1 << random.getrandbits(3)


VARIANTS = 4  # before it, two ways of being cut in it, and a bit that flipped while it was


def begin(image, op, variant, seed):
    # What a cut in the middle of an operation leaves of it.
    at, data = op
    if variant == 3:
        (erase(image, at, BLOCK) if data is None else program(image, at, data))
        flip(image, op, seed)
        return
    rng = random
    rng.seed(seed)
    if data is None:
        if variant == 1:
            erase(image, at, BLOCK // 2)
        else:
            for piece in range(at, at + BLOCK, 256):
                if rng.getrandbits(1):
                    erase(image, piece, 256)
        return
    n = len(data) // 2 if variant == 1 else rng.getrandbits(24) % len(data)
    program(image, at, data[:n])
    if variant == 2 and n < len(data):  # the byte that was at it has some of its bits
        program(image, at + n, bytes([data[n] | rng.getrandbits(8)]))


class CutFlash:
    def __init__(self, kind, blocks):
        self.kind = kind
        self.device = Device(blocks)
        (vfs.VfsLfs2 if kind == "lfs2" else vfs.VfsFat).mkfs(self.device)
        self.start = None  # the image when watching began
        self.first = None  # that, and the operations since, when a cut was first gone back to
        self.mount()

    def mount(self):
        self.files = {}  # open ones, by number: path, file
        self.fs = (vfs.VfsLfs2 if self.kind == "lfs2" else vfs.VfsFat)(self.device)

    def watch(self):
        self.start = bytearray(self.device.image)
        self.device.ops = []

    def do(self, change, data):
        op, path = change["op"], change.get("path", "")
        if op == "boot":
            self.mount()
        elif op == "open":
            file = self.fs.open(path, "wb" if change.get("empty") or not self.has(path) else "r+b")
            self.files[change["file"]] = [path, file]
        elif op == "write":
            entry = self.files[change["file"]]
            if entry[1] is None:
                entry[1] = self.fs.open(entry[0], "r+b")
            entry[1].seek(change.get("at", 0))
            entry[1].write(data)
        elif op == "sync":
            entry = self.files[change["file"]]
            if entry[1] is not None:
                entry[1].close()
                entry[1] = None
        elif op == "rename":
            try:
                self.fs.rename(path, change["to"])
            except OSError:
                if self.kind != "fat":
                    raise
                self.fs.remove(change["to"])  # the log is of a filesystem that replaces
                self.fs.rename(path, change["to"])
        else:
            getattr(self.fs, op)(path)

    def has(self, path):
        try:
            self.fs.stat(path)
            return True
        except OSError:
            return False

    def back(self, to, variant, seed):
        if self.first is None:
            self.first = self.start, self.device.ops
        start, ops = self.first
        image = bytearray(start)
        for op in ops[:to]:
            self.device.redo(image, op)
        if variant:
            begin(image, ops[to], variant, seed + to)
        self.device.image = image
        self.device.ops = None
        self.mount()


class FlashReader:
    # Mounts flashes and tells what is on them, each thing once.
    def __init__(self, kind, blocks):
        self.kind = kind
        self.device = Device(blocks)
        self.trees = {}
        self.contents = {}
        self.buffer = bytearray(4096)

    def tell(self, image, cut, sums):
        self.device.image[:] = image
        told = {"cut": cut, "sum": hashlib.sha256(b"".join(sums)).digest()[:8].hex()}
        try:
            tree = self.tree((vfs.VfsLfs2 if self.kind == "lfs2" else vfs.VfsFat)(self.device))
        except (OSError, UnicodeError) as error:  # the latter: a directory of garbage
            told["error"] = repr(error)
            print(json.dumps(told))
            return
        key = json.dumps(tree)
        number = self.trees.get(key)
        if number is None:
            number = self.trees[key] = len(self.trees)
            told["is"] = tree
        told["tree"] = number
        print(json.dumps(told))

    def tree(self, fs):
        found = []
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in sorted(fs.ilistdir(folder or "/")):
                path = folder + "/" + entry[0]
                if entry[1] == _FOLDER:
                    found.append([path, None])
                    folders.append(path)
                else:
                    found.append([path, self.content(fs, path)])
        return found

    def content(self, fs, path):
        digest = hashlib.sha256()
        pieces = []
        file = fs.open(path, "rb")
        while True:
            n = file.readinto(self.buffer)
            if not n:
                break
            digest.update(memoryview(self.buffer)[:n])
            pieces.append(bytes(memoryview(self.buffer)[:n]))
        file.close()
        key = digest.digest()
        number = self.contents.get(key)
        if number is None:
            number = self.contents[key] = len(self.contents)
            print(json.dumps({"content": number, "hex": b"".join(pieces).hex()}))
        return number


def block_sum(image, block):
    return hashlib.sha256(memoryview(image)[block * BLOCK : (block + 1) * BLOCK]).digest()


def cuts(flash, reader, every, seed):
    image = bytearray(flash.start)
    sums = [block_sum(image, block) for block in range(flash.device.blocks)]
    ops = flash.device.ops
    variants = VARIANTS if flash.kind == "lfs2" else 1
    for number, op in enumerate(ops):
        block = op[0] // BLOCK  # no operation is of more than one
        if number % every == 0:
            reader.tell(image, [number, 0], sums)
            for variant in range(1, variants):
                torn = bytearray(image)
                begin(torn, op, variant, seed + number)
                torn_sums = list(sums)
                torn_sums[block] = block_sum(torn, block)
                reader.tell(torn, [number, variant], torn_sums)
        flash.device.redo(image, op)
        sums[block] = block_sum(image, block)
    reader.tell(image, [len(ops), 0], sums)


def main():
    flash = reader = None
    source = sys.stdin.buffer
    while True:
        line = source.readline()
        if not line:
            return
        order = json.loads(line)
        op = order["op"]
        if op == "flash":
            flash = CutFlash(order["kind"], order["blocks"])
            reader = reader or FlashReader(order["kind"], order["blocks"])
        elif op == "watch":
            flash.watch()
        elif op == "cuts":
            cuts(flash, reader, order["every"], order["seed"])
            print(json.dumps({"done": len(flash.device.ops)}))
        elif op == "flip":
            flash.device.count = 0
            flash.device.flip_at, flash.device.seed = order["at"], order["seed"]
        elif op == "tell":
            image = flash.device.image
            sums = [block_sum(image, block) for block in range(order["blocks"])]
            reader.tell(image, [order["at"], 0], sums)
        elif op == "back":
            flash.back(order["to"], order["variant"], order["seed"])
            print(json.dumps({"back": [order["to"], order["variant"]]}))
        else:
            flash.do(order, source.read(order["n"]) if order.get("n") else b"")


main()
