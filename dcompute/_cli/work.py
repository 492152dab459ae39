"""What `dcompute submit` and `map` do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dcompute._cli.metrics_option import metrics_of
from dcompute.executor import FleetExecutor, FleetFuture, TaskError, TaskFailed

Say = Callable[[str], object]


def submit(
    settings: Mapping[str, object],
    function: str,
    arguments: list[str],
    options: Mapping[str, object],
    say: Say,
) -> int:
    """Have one call done; returns the exit status."""
    with _executor(settings, options) as fleet:
        future = fleet.submit(function, *map(_value, arguments), **_of_task(options))
        return _print(future, say)


def map_lines(
    settings: Mapping[str, Any], path: Path, function: str, options: Mapping[str, Any], say: Say
) -> int:
    """Have the task of each line done; returns the exit status. ValueError if metrics cannot be served."""
    text = path.read_text(encoding="utf-8")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    tasks = [_task(line, number, function) for number, line in lines]
    run = sha256(f"{function}\n{text}".encode()).hexdigest()[:16]
    status = 0
    with _executor(settings, options) as fleet, metrics_of(options["metrics"], fleet):
        keyed = options["journal"] is not None
        futures = [
            fleet.submit_task(task, key=f"{run}/{number}" if keyed else None, **_of_task(options))
            for number, task in enumerate(tasks)
        ]
        for future in futures:
            status = max(status, _print(future, say))
    return status


def _executor(settings: Mapping[str, Any], options: Mapping[str, Any]) -> FleetExecutor:
    return FleetExecutor(journal=options["journal"], **settings)


def _of_task(options: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [pair.partition("=") for pair in options["where"] or ()]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise ValueError(f"--where {key}: key=value is wanted, as device_type=ESP32")
    where = {key: value for key, _, value in pairs}
    wanted = {key: _value(value) for key, value in where.items()}
    return {**{key: options[key] for key in ("priority", "timeout", "retries", "once")}, "where": wanted}


def _task(line: str, number: int, function: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise SystemExit(f"line {number}: {error}") from None
    if isinstance(value, list) and function:
        return {"function": function, "args": value}
    if isinstance(value, dict):
        return {"function": function, **value} if function else value
    raise SystemExit(f"line {number}: neither a list of arguments (with --function) nor a task")


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print(future: FleetFuture, say: Say) -> int:
    try:
        say(json_line({"result": future.result()}))
    except TaskError as error:
        kind = error.type if isinstance(error, TaskFailed) else type(error).__name__
        say(json_line({"error": kind, "message": str(error.args[0])}))
        return 1
    return 0


def json_line(value: object) -> str:
    """Return JSON on one line, with what a terminal would obey written as an escape."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
