"""Checks: properties of a run, judged from its trace and nothing else.

`CHECKS` maps the key used under `expect:` in a scenario to the check's model.
"""

from __future__ import annotations

from sim.checks.base import Check, Distribution, Outcome, Status
from sim.checks.callback_once import CallbackOnce

_ALL: tuple[type[Check], ...] = (CallbackOnce,)

CHECKS: dict[str, type[Check]] = {check.name: check for check in _ALL}

__all__ = ["CHECKS", "Check", "Distribution", "Outcome", "Status"]
