"""Who lacks an extra is told how to get it from where the installation came from."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from packaging.requirements import Requirement

from dcompute.extras import command_for, install_command


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///home/a%20b/dcompute", "dir_info": {}}, "pip install '/home/a b/dcompute[sim]'"),
        (
            {"url": "file:///src/dcompute", "dir_info": {"editable": True}},
            "pip install -e '/src/dcompute[sim]'",
        ),
        (
            {"url": "file:///tmp/dcompute-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'dcompute[sim] @ file:///tmp/dcompute-0.1.0-py3-none-any.whl'",
        ),
        (
            {"url": "https://git.example/dcompute", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'dcompute[sim] @ git+https://git.example/dcompute'",
        ),
        (
            {
                "url": "https://git.example/dcompute",
                "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "abc"},
            },
            "pip install 'dcompute[sim] @ git+https://git.example/dcompute@v1'",
        ),
        ({}, "pip install 'dcompute[sim] @ ADDRESS'"),
    ],
    ids=["clone", "editable clone", "wheel", "git", "git at a revision", "unknown"],
)
def test_from_where_it_came(origin: dict[str, Any], command: str) -> None:
    assert command_for("sim", origin) == command
    wanted = shlex.split(command)[-1]
    if " @ http" in wanted or " @ file" in wanted or " @ git" in wanted:
        assert Requirement(wanted).extras == {"sim"}


def test_of_this_installation() -> None:
    assert "[sim]" in install_command("sim")
