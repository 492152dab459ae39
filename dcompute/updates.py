"""How updates over the air go: what `MasterNodeTransport.updates` tells, and what decides.

`NodeUpdate` is that for one board, `Updates` for several at once, `Campaign` for a fleet, in waves.
"""

from dcompute._ota import messages
from dcompute._ota.campaign import Campaign, WavePlan, waves_of
from dcompute._ota.progress import NodeUpdate, UpdateProgress, Updates, UpdateState
from dcompute.protocol import PATIENCE_S

__all__ = [
    "PATIENCE_S",
    "Campaign",
    "NodeUpdate",
    "UpdateProgress",
    "UpdateState",
    "Updates",
    "WavePlan",
    "messages",
    "waves_of",
]
