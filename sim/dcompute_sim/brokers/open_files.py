"""The open-files limit of this process and its children: a thousand connections need it raised."""

from __future__ import annotations

import resource


def raise_open_files(wanted: int) -> int:
    """Raise the soft limit towards `wanted` as far as the hard one lets us; returns what is in force now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return reachable
