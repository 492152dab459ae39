"""The building of firmware knows neither the emulator nor anything else of the testbed."""

from __future__ import annotations

import subprocess
import sys

MODULES = """
import dcompute_sim.fwbuild, importlib, pkgutil, sys
for module in pkgutil.iter_modules(dcompute_sim.fwbuild.__path__):
    importlib.import_module(f"dcompute_sim.fwbuild.{module.name}")
print(*(name for name in sys.modules if name.split(".")[0] == "dcompute_sim"))
"""


def test_nothing_else_of_the_testbed_is_imported() -> None:
    ran = subprocess.run([sys.executable, "-c", MODULES], check=True, stdout=subprocess.PIPE, text=True)
    others = [name for name in ran.stdout.split() if not name.startswith("dcompute_sim.fwbuild")]
    assert others == ["dcompute_sim"]
