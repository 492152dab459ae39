"""How long a thread wanted a processor and had none: the machine's doing, whatever the program does."""

from __future__ import annotations

from pathlib import Path


class ProcessorWait:
    """Reads it of one thread at a time. Linux tells; elsewhere nobody does, and it is 0."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._total_s = 0.0

    def since_s(self, thread: int | None) -> float:
        """Return for how long this thread has waited since it was last asked of; 0 the first time.

        Args:
            thread: its id at the kernel; of a process's first thread the process's. None: there is none.
        """
        known, before_s = self._thread == thread, self._total_s
        self._total_s = _total_s(thread)
        self._thread = thread
        return max(0.0, self._total_s - before_s) if known else 0.0


def _total_s(thread: int | None) -> float:
    try:
        _, waited_ns, _ = Path(f"/proc/{thread}/schedstat").read_text().split()
    except (OSError, ValueError):  # no such thread any more, or a kernel that does not tell
        return 0.0
    return int(waited_ns) / 1e9


__all__ = ["ProcessorWait"]
