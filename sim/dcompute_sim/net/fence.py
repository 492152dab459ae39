"""The fence around virtual time: whatever would make a run depend on the outside raises where it is called.

    with Fence():
        env.run(until=3600)

Inside, in the thread that entered, a FenceError is raised by: reading a clock (`time.*`, `datetime.now`
and its kin), sleeping, starting a thread or process, opening a socket (and so an asyncio loop), and
drawing from an unseeded generator (functions of module `random`, `random.Random()` without a seed,
`os.urandom`, `uuid4`, `secrets`). Other threads of the process are not fenced, several threads may each
have a fence, and leaving the last restores everything, also after an error.

Some code has a good reason: `logging` stamps its records, a progress display refreshes by the wall clock.
Such users are named: `Fence(allow=("dcompute_sim.report.live",))` lets through whatever a function of that
module (or package) calls, directly or through others. `logging` is always allowed, and so are the garbage
collector's callbacks (`gc.callbacks`), which tools set to time it.

What is called through an attribute (`time.time()`) or a global name (`from time import time`, in modules
outside the standard library) is caught. A C extension that asks the operating system itself is not, nor is a
reference kept elsewhere, such as a default argument; processes and sockets are caught even then.
"""

from __future__ import annotations

import _thread
import datetime as datetime_module
import gc
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from itertools import filterfalse
from types import FrameType, TracebackType
from typing import Any, NoReturn

_ALWAYS_ALLOWED = ("logging",)

# Clocks (and the sleep that waits on one), and how many arguments make the call independent of the clock
# (None: nothing does).
_CLOCKS: dict[str, int | None] = {
    "sleep": None,
    "time": None,
    "time_ns": None,
    "monotonic": None,
    "monotonic_ns": None,
    "perf_counter": None,
    "perf_counter_ns": None,
    "process_time": None,
    "process_time_ns": None,
    "thread_time": None,
    "thread_time_ns": None,
    "clock_gettime": None,
    "clock_gettime_ns": None,
    "localtime": 1,
    "gmtime": 1,
    "ctime": 1,
    "asctime": 1,
    "strftime": 2,
}

# Audit events (the interpreter raises them however the function was reached), and what they mean.
_ACTIONS = {
    "socket.__new__": "opens a socket",
    "subprocess.Popen": "starts a process",
    "os.system": "starts a process",
    "os.fork": "forks",
    "os.posix_spawn": "starts a process",
    "os.exec": "replaces the process",
}

# Frames of these are plumbing: the call site is whoever called them.
_PLUMBING = frozenset(
    f"{__name__} threading socket random secrets uuid datetime subprocess concurrent.futures.thread "
    "asyncio.base_events asyncio.events asyncio.runners asyncio.selector_events asyncio.unix_events".split()
)


class FenceError(RuntimeError):
    """Code in virtual time reached for the outside; the message names the call and where it is."""


class Fence:
    """A context manager; see the module's docstring.

    Args:
        allow: modules or packages whose calls are let through.
    """

    def __init__(self, allow: tuple[str, ...] = ()) -> None:
        self._allowed = _ALWAYS_ALLOWED + allow
        self._outside: FrameType | None = None

    def __enter__(self) -> Fence:
        ident = threading.get_ident()
        with _lock:
            if ident in _active:
                raise RuntimeError("this thread is inside a fence already")
            self._outside = sys._getframe(1)
            if not _active:
                _patches.apply()
            _active[ident] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            del _active[threading.get_ident()]
            self._outside = None
            if not _active:
                _patches.undo()

    def check(self, what: str) -> None:
        """Raise FenceError unless an allowed module is among the callers inside the fence."""
        site: FrameType | None = None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame is not self._outside:
            name = frame.f_globals.get("__name__", "?")
            if any(name == allowed or name.startswith(allowed + ".") for allowed in self._allowed):
                return
            if _is_collection(frame):
                return
            if site is None and name not in _PLUMBING:
                site = frame
            frame = frame.f_back
        self._raise(what, site or self._outside)

    def _raise(self, what: str, site: FrameType | None) -> NoReturn:
        where = "?"
        if site is not None:
            code = site.f_code
            where = f"{site.f_globals.get('__name__', '?')}.{code.co_qualname} (line {site.f_lineno})"
        raise FenceError(
            f"{where} {what} in virtual time: take time from the driver and randomness from a seeded "
            "generator, or name the module in Fence(allow=...)"
        )


def _is_collection(frame: FrameType) -> bool:
    """Say whether this is a call of the garbage collector, which comes wherever it likes: not the run's
    doing."""
    return any(frame.f_code is getattr(callback, "__code__", None) for callback in gc.callbacks)


_lock = threading.Lock()
_active: dict[int, Fence] = {}


def _check(what: str) -> None:
    fence = _active.get(threading.get_ident())
    if fence is not None:
        fence.check(what)


def _audit(event: str, _arguments: tuple[object, ...]) -> None:
    if _active and event in _ACTIONS:
        _check(_ACTIONS[event])


class _Patches:
    """The replacements, made once; applied when the first fence is entered and undone when the last is
    left."""

    def __init__(self) -> None:
        self._attributes: list[tuple[object, str, object, object]] = []  # owner, name, original, replacement
        self._by_identity: dict[int, tuple[object, object]] = {}
        self._scanned: set[str] = set()
        self._ready = False
        self._loops_fenced = False

    def apply(self) -> None:
        if not self._ready:
            self._ready = True
            self._prepare()
            sys.addaudithook(_audit)
        if not self._loops_fenced and "asyncio" in sys.modules:  # else a loop's sockets give it away
            self._loops_fenced = True
            asyncio = sys.modules["asyncio"]
            loop = _guard(asyncio.new_event_loop, "makes an asyncio loop", None)
            for owner in (asyncio, asyncio.events):
                self._replace(owner, "new_event_loop", loop)
        self._scan_new_modules()
        self._exchange(self._attributes)

    def undo(self) -> None:
        self._exchange([(owner, name, was, becomes) for owner, name, becomes, was in self._attributes])

    def _exchange(self, attributes: list[tuple[object, str, object, object]]) -> None:
        for owner, name, was, becomes in attributes:
            if getattr(owner, name, None) is was:  # else somebody put something of their own there
                setattr(owner, name, becomes)

    def _prepare(self) -> None:
        for name, pure_with in _CLOCKS.items():
            self._replace(time, name, _guard(getattr(time, name), f"calls time.{name}()", pure_with))
        self._replace(datetime_module, "datetime", _fenced_datetime())
        self._replace(datetime_module, "date", _fenced_date())
        self._replace(os, "urandom", _guard(os.urandom, "draws from os.urandom()", None))
        self._replace(random, "_urandom", _guard(os.urandom, "draws from the system's generator", None))
        for name in random.__all__:
            function = getattr(random, name)
            if getattr(function, "__self__", None) is random._inst:
                self._replace(random, name, _guard(function, f"draws from random.{name}()", None))
        for owner, name in ((threading.Thread, "start"), (_thread, "start_new_thread")):
            self._replace(owner, name, _guard(getattr(owner, name), "starts a thread", None))
        self._replace(uuid, "uuid1", _guard(uuid.uuid1, "reads the clock in uuid1()", None))
        self._replace(random.Random, "seed", _fenced_seed(random.Random.seed))

    def _replace(self, owner: object, name: str, replacement: object) -> None:
        original = getattr(owner, name)
        self._attributes.append((owner, name, original, replacement))
        self._by_identity[id(original)] = (original, replacement)

    def _scan_new_modules(self) -> None:
        """Find global names that refer to what is replaced, in modules not seen before."""
        for module_name in list(filterfalse(self._scanned.__contains__, list(sys.modules))):
            module = sys.modules.get(module_name)
            self._scanned.add(module_name)
            if module_name == __name__ or module_name.partition(".")[0] in sys.stdlib_module_names:
                continue
            for name, value in list(getattr(module, "__dict__", {}).items()):  # None, too, can stand there
                found = self._by_identity.get(id(value))
                if found is not None and found[0] is value:
                    self._attributes.append((module, name, *found))


_patches = _Patches()


def _guard(original: Callable[..., Any], what: str, pure_with: int | None) -> Callable[..., Any]:
    def guarded(*args: object, **kwargs: object) -> object:
        if pure_with is None or len(args) < pure_with:
            _check(what)
        return original(*args, **kwargs)

    return guarded


def _fenced_seed(original: Callable[..., None]) -> Callable[..., None]:
    def seed(self: random.Random, a: object = None, version: int = 2) -> None:
        if a is None:
            _check("makes an unseeded random.Random()")
        original(self, a, version)

    return seed


class _SameInstances(type):
    """`isinstance` and `issubclass` answer as they do for the class that is replaced."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


def _fenced_datetime() -> type[datetime_module.datetime]:
    real = datetime_module.datetime

    class datetime(real, metaclass=_SameInstances):  # type: ignore[valid-type,misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real(*args, **kwargs)

        @classmethod
        def now(cls, tz: datetime_module.tzinfo | None = None) -> object:
            _check("reads datetime.now()")
            return real.now(tz)

        @classmethod
        def utcnow(cls) -> object:
            _check("reads datetime.utcnow()")
            return real.utcnow()

        @classmethod
        def today(cls) -> object:
            _check("reads datetime.today()")
            return real.today()

    return datetime


def _fenced_date() -> type[datetime_module.date]:
    real = datetime_module.date

    class date(real, metaclass=_SameInstances):  # type: ignore[valid-type,misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real(*args, **kwargs)

        @classmethod
        def today(cls) -> object:
            _check("reads date.today()")
            return real.today()

    return date
