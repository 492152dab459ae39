"""dev.py: what the audit of dependencies says, and that it says so where nobody can be asked."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev_script", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


SOUND = {"name": "simpy", "version": "4.1", "vulns": []}
FAULTY = {"name": "yaml", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "own", "skip_reason": "no such package"}


@pytest.mark.parametrize(
    ("said", "errors", "status", "told"),
    [
        (answer(SOUND), "", 0, "audit: 0 known faults in 1 packages"),
        (answer(SOUND, UNKNOWN), "", 0, "0 known faults in 1 packages, 1 nobody knows"),
        (answer(SOUND, FAULTY), "Found 1 known vulnerability", 1, "yaml 1: CVE-1, mended in 2"),
        ("", "ERROR: connection refused", 0, "audit SKIPPED, nothing is known: ERROR: connection refused"),
        (answer(UNKNOWN), "", 0, "audit SKIPPED, nothing is known: no such package"),
        (answer(), "", 0, "SKIPPED"),
    ],
)
def test_what_the_audit_says(
    dev: ModuleType, said: str, errors: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.told(said, errors) == status
    assert told in capsys.readouterr().err


def test_without_a_network_the_audit_says_that_it_was_skipped(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert f"pip-audit=={dev.PIP_AUDIT}" in command, "pinned"
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no route to host\n")

    monkeypatch.setattr(dev.venv, "create", lambda *_args, **_options: None)
    monkeypatch.setattr(dev.subprocess, "run", offline)
    assert dev.audit() == 0
    assert "audit SKIPPED, nothing is known: pip-audit" in capsys.readouterr().err
