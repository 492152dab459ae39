"""Checks: properties of a run, judged from its trace and nothing else; one file a check, found by being here.

`CHECKS` maps the key used under `expect:` in a scenario to the check's model. A check may be defined
anywhere: it is known once its module was imported.
"""

from __future__ import annotations

from dcompute_sim.checks.check import CHECKS, Check, CheckOutcome, Measurement, Status

CHECKS.discover(__name__, __path__)

__all__ = ["CHECKS", "Check", "CheckOutcome", "Measurement", "Status"]
