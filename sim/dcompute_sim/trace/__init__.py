"""The trace of a run: typed, timestamped events, written to and read from JSON lines.

Everything that judges or shows a run (checks, reports, comparisons) reads this and nothing else, so a saved
trace can be judged again later. Times are integer microseconds since the run began: integers print the same
everywhere, which a byte-identical replay needs. No event carries a wall-clock time, a path or a process id.
"""
# ruff: noqa: F403

from __future__ import annotations

from dcompute_sim.trace.api_events import *
from dcompute_sim.trace.event import *
from dcompute_sim.trace.event_types import *
from dcompute_sim.trace.executor_events import *
from dcompute_sim.trace.fault_events import *
from dcompute_sim.trace.final import *
from dcompute_sim.trace.log import *
from dcompute_sim.trace.master_events import *
from dcompute_sim.trace.node_events import *
from dcompute_sim.trace.participants import *
from dcompute_sim.trace.run_events import *
from dcompute_sim.trace.wire_events import *
