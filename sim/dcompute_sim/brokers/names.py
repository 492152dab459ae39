"""What can be written after `--broker`, in either kind of time, and what is said of anything else."""

from __future__ import annotations

from dcompute_sim.brokers.model.profiles import PROFILES
from dcompute_sim.yamlfile.problems import nearest

PROCESS_KINDS = ("embedded", "model", "amqtt-plain")
KINDS = (*PROCESS_KINDS, "mosquitto")
"""Those that are started in real time; besides, any that runs is named by its URL."""

_VIRTUAL = f"virtual time has {', '.join(PROFILES)} (the model with that broker's limits and granularity)"
_REAL = (
    f"real time has {', '.join(KINDS)}, and any that runs as mqtt://host:port, mqtt://user:password@host:port"
)


def not_in_virtual_time(broker: str) -> str:
    """Tell why a run in virtual time cannot have it, and what it can have."""
    if broker in KINDS or "://" in broker:
        return f"broker {broker!r} is a real one: {_VIRTUAL}; or use --time real"
    return f"{_unknown(broker)}{_VIRTUAL}; {_REAL} or mqtts://..."


def not_in_real_time(broker: str) -> str:
    """Tell why a run in real time cannot have it, and what it can have."""
    if broker in PROFILES:
        return f"broker {broker!r} is a model: {_REAL} or mqtts://...; or use --time virtual"
    return f"{_unknown(broker)}{_REAL} or mqtts://...; {_VIRTUAL}"


def _unknown(broker: str) -> str:
    meant = nearest(broker, [*PROFILES, *KINDS])
    return f"no broker {broker!r}: " + (f"did you mean {meant}? " if meant else "")
