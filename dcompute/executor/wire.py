"""What an asker says to nodes and hears from them, as bytes."""

from __future__ import annotations

from dcompute.executor.model import Answer, Progress, Send
from dcompute.node_core import Rejected, check_task_id, decode
from dcompute.node_wire import dumps

RESERVED = frozenset(
    ("id", "priority", "attempt", "from", "boot", "n", "open", "expires_s", "cancel", "recall", "settle")
)


def write_message(send: Send, asker: str) -> bytes:
    """Return the payload of a task, a cancel or a settle."""
    message: dict[str, object] = {}
    body = b"{}"
    if send.task is not None:
        message["id"] = send.task.id
        message["priority"] = send.task.priority
        message["attempt"] = send.attempt
        if send.cancel:
            message["cancel"] = True
        else:
            body = send.task.body
        if send.recall:
            message["recall"] = True
        if send.expires_s is not None:
            message["expires_s"] = round(send.expires_s, 3)
    else:
        message["settle"] = True
    if send.ring:
        message["from"] = asker
        message["boot"] = send.life
        message["n"] = send.n
        message["open"] = send.open
    head = dumps(message).encode()
    return head if body == b"{}" else b"%b, %b" % (head[:-1], body[1:])  # the body was checked when it came


def read_answer(payload: bytes) -> Answer | Progress:
    """Read a message on `results/<from>`. Raises Rejected."""
    body = decode(payload)
    try:
        task_id = check_task_id(body.get("task_id"))
    except ValueError as error:
        raise Rejected(str(error)) from None
    node, inc = body.get("node_id"), body.get("inc")
    attempt, n, top = body.get("attempt"), body.get("n"), body.get("top", 0)
    ok, ran = body.get("ok"), body.get("ran")
    if not isinstance(node, str) or not isinstance(inc, str):
        raise Rejected("an answer without its node_id or inc")
    if not type(attempt) is type(n) is type(top) is int:  # to Python true is an int
        raise Rejected("an answer whose attempt, n or top is no number")
    if "progress" in body:
        fraction, text = body["progress"], body.get("text", "")
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise Rejected("progress that is no number from 0 to 1")
        return Progress(node, inc, task_id, attempt, n, float(fraction), str(text))
    if ok is None and not isinstance(body.get("answer"), str):
        raise Rejected("an answer that says neither ok nor what became of the task")
    return Answer(
        *(node, inc, task_id, attempt, n),
        ok=None if ok is None else bool(ok),
        result=body.get("result"),
        error=body.get("error"),
        answer=str(body.get("answer", "")),
        ran=ran if ran in ("no", "yes") else "maybe",
        top=top,
    )
