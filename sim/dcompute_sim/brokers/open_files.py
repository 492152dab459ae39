"""The open-files limit of this process and its children: a thousand connections need it raised."""

from __future__ import annotations

import resource


class TooFewFiles(RuntimeError):
    """The process may not open as many files as are needed; the message says what to do."""


def need_open_files(needed: int, wanted: int) -> None:
    """Raise the limit towards `wanted`. Raises TooFewFiles if not even `needed` can be open."""
    limit = raise_open_files(wanted)
    if limit < needed:
        raise TooFewFiles(
            f"{needed:,} open files are needed and {limit:,} allowed: raise the limit (ulimit -n), "
            "run fewer nodes, or take --time virtual"
        )


def raise_open_files(wanted: int) -> int:
    """Raise the soft limit towards `wanted` as far as the hard one lets us; returns what is in force now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return reachable
