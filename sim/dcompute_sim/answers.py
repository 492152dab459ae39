"""What each task of a run is to be answered with, known before anybody answers: the ground truth of results.

Rules
1. What is expected comes from the task as the scenario asked it, by functions of our own, never from what a
   node or the master says of it.
2. A task that names no function asks for itself: its answer is its own id, or what it brings as `answer`. So
   every task has another answer, and a stale value, or that of another task, is seen.
3. A task that names one of the board's functions (firmware/tasks.py) asks for its value. They are written
   anew here; what they have in common with the board's is what they are to compute.
4. A stream may declare the answer itself (`answer:`): for programs of somebody else, whose tasks we cannot
   know.

Results have a shape by who sends them, and `given` reads each: python nodes of the testbed send
`{"done": id, "answer": ...}`, our firmware `{"task_id": id, "output": ...}`, of which an executor has the
output alone. A result of any other shape is its own answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dcompute_sim.production_events import value_digest

FAILURE = "an error"
"""Stands for the answer of a task that fails, whatever its text."""


def expected(task: Mapping[str, Any]) -> Any:
    """Return the answer to a task of the scenario, `id` included."""
    if "answer" in task:
        return task["answer"]
    args = task.get("args", ())
    try:
        match task.get("function", "echo"):
            case "echo":
                return task["id"]
            case "add":
                total = sum(args)
                return total if math.isfinite(total) else FAILURE  # infinite is no JSON
            case "sleep":
                return args[0]
            case "primes":
                return _primes_below(*args)
    except (TypeError, IndexError):
        pass
    return FAILURE


def asked_digest(task: Mapping[str, object], declared: object) -> tuple[str, bool]:
    """Return the digest of the answer to a task: the declared one, if there is one, which the second value
    says."""
    return value_digest(expected(task) if declared is None else declared), declared is not None


def given(result: object) -> object:
    """Return the answer that a result gives."""
    if not isinstance(result, dict):
        return result
    if "error" in result:
        return FAILURE
    if "output" in result:
        output = result["output"]
        if isinstance(output, dict) and "id" in output:  # the task itself
            return output.get("answer", output["id"])
        return output
    if "done" in result:
        return result.get("answer", result["done"])
    if "id" in result:  # the task itself, as an executor has it from a board
        return result.get("answer", result["id"])
    return result


def python_result(task: Mapping[str, object]) -> dict[str, object]:
    """Return what a python node of the testbed answers with, its work being only simulated."""
    answer = expected(task)
    if answer == FAILURE:
        return {"error": f"no such function, or not with these arguments: {task.get('function')}"}
    return {"done": task["id"]} if answer == task["id"] else {"done": task["id"], "answer": answer}


def _primes_below(limit: int) -> int:
    return sum(all(n % divisor for divisor in range(2, int(n**0.5) + 1)) for n in range(2, limit))
