"""How updates over the air go: what `MasterNodeTransport.updates` tells, and what decides (`NodeUpdate`)."""

from dcompute._ota.progress import NodeUpdate, UpdateProgress, UpdateState
from dcompute.protocol import PATIENCE_S

__all__ = ["PATIENCE_S", "NodeUpdate", "UpdateProgress", "UpdateState"]
