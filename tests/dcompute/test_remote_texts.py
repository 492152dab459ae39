"""What others on the broker say cannot forge a line of the commands of production, or move a cursor."""

from __future__ import annotations

import json

from dcompute import NodeInfo
from dcompute._cli.top import table
from dcompute._cli.update import line
from dcompute._cli.work import json_line
from dcompute.updates import UpdateProgress, UpdateState

HOSTILE = "up\x1b[2J\n12:00:00 forged: line\r\x9b1m\u202e"


def test_a_table_of_the_fleet() -> None:
    said = {"functions": [HOSTILE], "concurrency": HOSTILE, "credit": HOSTILE}
    node = NodeInfo(
        node_id="n", status=HOSTILE, device_type=HOSTILE, last_seen=0.0, inc="", capabilities=said
    )
    lines = table([node])
    assert len(lines) == 3
    assert all(line.isprintable() and ("forged" in line or "STATUS" in line) for line in lines)


def test_a_result_is_json_all_the_same() -> None:
    said = json_line({"result": HOSTILE, "ü": "✓"})
    assert said.isprintable()
    assert json.loads(said) == {"result": HOSTILE, "ü": "✓"}
    assert "ü" in said


def test_the_progress_of_an_update() -> None:
    progress = UpdateProgress("n", "v", UpdateState.FAILED, HOSTILE, 0, 0)
    assert line(progress).isprintable()
    assert "forged" in line(progress)
