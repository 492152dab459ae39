"""Planted faults that need several rare events in sequence: three nodes that never come back after them."""

from __future__ import annotations

from typing import ClassVar

from dcompute_sim.mutants import MUTANTS, register

from dcompute.parts import MqttLink

_NEVER_S = 1e6


class _Planted(MqttLink):
    """Does not connect any more when its connections have ended so, one after the other."""

    ends: ClassVar[tuple[str, ...]]
    """How far each had come: `connecting`, `subscribing` or `connected`."""

    _reached = "connecting"
    _so_far: tuple[str, ...] = ()

    def session_accepted(self) -> None:
        self._reached = "subscribing"
        super().session_accepted()

    def session_subscribed(self) -> None:
        self._reached = "connected"
        super().session_subscribed()

    def _backoff_s(self) -> float:
        self._so_far = (*self._so_far, self._reached)[-len(self.ends) :]
        self._reached = "connecting"
        return _NEVER_S if self._so_far == self.ends else super()._backoff_s()


def plant(name: str, *ends: str) -> str:
    """Make such a mutant known; its name."""
    if name not in MUTANTS:
        register(name, type("_PlantedHere", (_Planted,), {"ends": ends, "__doc__": _Planted.__doc__}))
    return name
