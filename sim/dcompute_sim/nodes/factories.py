"""Which factory makes a node of which kind, in either time; what a kind needs is loaded with its first node.

Engines know only factories: a new kind of node is its own file and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.world import Machine
from dcompute_sim.recorder import Recorder

if TYPE_CHECKING:
    from dcompute_sim.engines.real import RealNodeFactory
    from dcompute_sim.engines.real_machine import RealMachine
    from dcompute_sim.engines.virtual import VirtualMachine, VirtualNodeFactory


def _python(spec: NodeSpec, machine: Machine, recorder: Recorder) -> Node:
    from dcompute_sim.nodes.python_node import PythonNode

    return PythonNode(spec, machine, recorder)


def _virtual_firmware(spec: NodeSpec, machine: VirtualMachine, recorder: Recorder) -> Node:
    from dcompute_sim.nodes.virtual_firmware import firmware_node

    return firmware_node(spec, machine, recorder)


def _real_firmware(spec: NodeSpec, machine: RealMachine, recorder: Recorder) -> Node:
    from dcompute_sim.nodes.real_firmware import firmware_node

    return firmware_node(spec, machine, recorder)


VIRTUAL_NODES: Mapping[str, VirtualNodeFactory] = {"python": _python, "firmware": _virtual_firmware}
REAL_NODES: Mapping[str, RealNodeFactory] = {"python": _python, "firmware": _real_firmware}
