"""A flash as its blocks see a power cut: MicroPython's own filesystems on a chip that erases and programs.

`flash_log` imitates what a filesystem keeps of a file that was being written. Here the filesystem itself is
asked: what was done to a board's files (a log of `VirtualBoard(flash_log=...)`) is done again on a block
device, and the power fails before, and in the middle of, every operation that reaches the flash. What a chip
then finds is mounted and read by the same code that a board has.

    for cut, flash in BlockFlash(emulator, "lfs2").cuts(before, changes): ...

Rules:

1. An operation that is cut may leave anything between nothing and all of it: half of the bytes, the last with
   some of its bits, a block of which some parts are erased, or all with a bit that flipped (littlefs only: a
   FAT has nothing to notice that by). Variant 0 is a cut before it.
2. A flash that cannot be mounted is `None`: such a board does not boot.
3. Many cuts leave the same files; who boots boards on them boots each once, for what a board does depends on
   nothing else. A cut of a second power failure (`again`) goes on from the very blocks of the first.
4. A bit may also flip in what is written with no cut at all (`flipped`): littlefs reads back what it has
   programmed, and moves to another block.

Rejected: a board that runs on the block device and loses its power there. It would be the same code on the
same blocks, and a second for each cut where this takes milliseconds.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.virtual_boards.flash_log import Change, FlashState

Kind = Literal["lfs2", "fat"]

_DEVICE = Path(__file__).with_name("device.py")
_HEAP_BYTES = 256 << 20
BLOCKS = 256
"""Of 4 KiB each: enough for two versions from source, small enough to be copied ten thousand times."""


@dataclass(frozen=True)
class BlockCut:
    """Where the power fails: at this operation on the flash; variant 0 before it, 1 and 2 in the middle, 3 at
    its end, with a bit that flipped.

    `image`: a sum of all the flash's bytes, which tells one state from another; `after`: the first cut, of a
    second one.
    """

    operation: int
    variant: int
    image: str = field(default="", compare=False)
    after: BlockCut | None = None


class BlockFlash:
    """One flash, and what power cuts leave of it.

    Args:
        kind: of filesystem.
        seed: of what a cut in the middle of an operation leaves.
    """

    def __init__(self, emulator: Emulator, kind: Kind, *, blocks: int = BLOCKS, seed: int = 1) -> None:
        self._emulator = emulator
        self._kind = kind
        self._blocks = blocks
        self._seed = seed
        self.operations = 0

    def cuts(
        self, before: FlashState, changes: Sequence[Change], every: int = 1
    ) -> Iterator[tuple[BlockCut, FlashState | None]]:
        """Yield every `every`-th cut while `changes` are done to a flash with `before`; the last is after
        all."""
        orders = [self._new(), *_made(before), _order("watch"), *map(_change, changes)]
        yield from self._run([*orders, _order("cuts", every=every, seed=self._seed)])

    def again(
        self,
        before: FlashState,
        changes: Sequence[Change],
        later: Mapping[BlockCut, Sequence[Change]],
        every: int = 1,
    ) -> Iterator[tuple[BlockCut, FlashState | None]]:
        """Yield the same for a second failure: `later` says what was done after the power had failed at a
        cut."""
        orders = [self._new(), *_made(before), _order("watch"), *map(_change, changes)]
        for cut, done in later.items():
            orders.append(_order("back", to=cut.operation, variant=cut.variant, seed=self._seed))
            orders += [_order("watch"), *map(_change, done), _order("cuts", every=every, seed=self._seed)]
        yield from self._run(orders)

    def flipped(
        self, before: FlashState, changes: Sequence[Change], operations: Iterable[int]
    ) -> Iterator[tuple[BlockCut, FlashState | None]]:
        """Yield the flash after all `changes`, when a bit of one operation's flipped and nobody was told; for
        each of these operations, by its number from 1."""
        made, done = list(_made(before)), list(map(_change, changes))
        orders: list[bytes] = []
        for number in operations:
            flip = _order("flip", at=number, seed=self._seed + number)
            orders += [self._new(), *made, flip, *done, _order("tell", at=number, blocks=self._blocks)]
        yield from self._run(orders)

    def _new(self) -> bytes:
        return _order("flash", kind=self._kind, blocks=self._blocks)

    def _run(self, orders: Sequence[bytes]) -> Iterator[tuple[BlockCut, FlashState | None]]:
        argv = [*self._emulator.argv, "-X", f"heapsize={_HEAP_BYTES}", str(_DEVICE)]
        done = subprocess.run(argv, input=b"".join(orders), capture_output=True, check=False)
        if done.returncode or b"\nTraceback" in done.stdout:
            said = (done.stdout[-1000:] + done.stderr[-1000:]).decode(errors="replace")
            raise RuntimeError(f"the block device ended with {done.returncode}: {said}")
        after: BlockCut | None = None
        contents: dict[int, bytes] = {}
        trees: dict[int, FlashState] = {}
        for line in done.stdout.splitlines():
            told: dict[str, Any] = json.loads(line)
            if "content" in told:
                contents[told["content"]] = bytes.fromhex(told["hex"])
            elif "done" in told:
                self.operations = told["done"]
            elif "back" in told:
                after = BlockCut(*told["back"])
            else:
                cut = BlockCut(told["cut"][0], told["cut"][1], told["sum"], after)
                if "is" in told:
                    trees[told["tree"]] = {
                        path: None if number is None else contents[number] for path, number in told["is"]
                    }
                yield cut, trees[told["tree"]] if "tree" in told else None


def _order(op: str, **fields: object) -> bytes:
    return json.dumps({"op": op, **fields}).encode() + b"\n"


def _change(change: Change) -> bytes:
    fields = {
        "path": change.path,
        "to": change.to,
        "file": change.file,
        "empty": change.empty,
        "at": change.at,
    }
    if change.data:
        fields["n"] = len(change.data)
    return _order(change.op, **fields) + change.data


def _made(flash: FlashState) -> Iterator[bytes]:
    """Yield the orders that bring `flash` about on an empty one."""
    for number, path in enumerate(sorted(flash), 1):
        content = flash[path]
        if content is None:
            yield _change(Change("mkdir", path))
        else:
            yield _change(Change("open", path, file=-number, empty=True))
            yield _change(Change("write", path, file=-number, data=content))
            yield _change(Change("sync", path, file=-number))
