"""How updates over the air go: what `MasterNodeTransport.updates` tells, and what decides (`NodeUpdate`)."""

from dcompute._ota.progress import PATIENCE_S, NodeUpdate, UpdateProgress, UpdateState

__all__ = ["PATIENCE_S", "NodeUpdate", "UpdateProgress", "UpdateState"]
