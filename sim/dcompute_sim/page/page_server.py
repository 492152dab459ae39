"""Answers the page: runs over HTTP, what is new of a run that goes on over a WebSocket.

Tornado, because it is one package without dependencies of its own, has both, and runs on asyncio. Everything
happens on the thread of its loop; `serving` is for a process that has something else to do meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal, NoReturn

import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from dcompute_sim.page.index import STEPS, StepTo
from dcompute_sim.page.page_guard import HEADERS, Guard
from dcompute_sim.page.shown_run import ShownRun

_OURS, _REPORTS = files("dcompute_sim.page") / "assets", files("dcompute_sim.report") / "assets"
ASSETS = {
    "page.html": _OURS,
    "page.css": _OURS,
    "page.js": _OURS,
    "moment.js": _OURS,
    "words.js": _OURS,
    "hands.js": _OURS,
    "common.js": _REPORTS,
    "lanes.js": _REPORTS,
    "palette.css": _REPORTS,
    "uplot.js": _REPORTS,
    "uplot.css": _REPORTS,
}
"""The files of the page, and in which package they lie: what pictures are made of is the report's."""

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_LARGEST_BODY = 100_000
_MOST_STEPS = 1_000  # at once

Act = Callable[[dict[str, object]], Awaitable[dict[str, object]]]
"""Something that the page asks to be done, named values in and out. ValueError: why it cannot be."""


@dataclass
class Site:
    """What is shown, and what can be done.

    Attributes:
        runs: one, or two side by side.
        comparison: of two runs, what `dcompute compare` says.
        acts: what may be done to a run that goes on, by name.
    """

    runs: Sequence[ShownRun]
    comparison: dict[str, object] | None = None
    acts: dict[str, Act] = field(default_factory=dict)
    status: Callable[[], dict[str, object]] = dict
    watchers: set[Watch] = field(default_factory=set)

    def tell(self, news: dict[str, object]) -> None:
        """Send something to every page that is open."""
        message = msgspec.json.encode(news)
        for watcher in list(self.watchers):
            watcher.tell(message.decode())


class _Guarded(RequestHandler):
    """Whatever it answers, only to the page."""

    def initialize(self, site: Site, guard: Guard, port: int) -> None:
        self.site, self.guard, self.port = site, guard, port

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        request = self.request
        if not self.guard.allows_host(request.host):
            self._refuse(403, "this server is not called that")
        asks = request.method == "POST" or request.headers.get("Upgrade", "").lower() == "websocket"
        if not self.guard.allows_origin(request.headers.get("Origin"), request.host, needed=asks):
            self._refuse(403, "another page asks")
        if not self.knows_secret():
            self._refuse(401, "open the address that dcompute printed: the secret in it is missing here")

    def knows_secret(self) -> bool:
        bearer = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = self.get_cookie(self.guard.cookie_name(self.port))
        return self.guard.knows(cookie) or self.guard.knows(bearer)

    def _refuse(self, status: int, why: str) -> NoReturn:
        raise HTTPError(status, reason=why)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        _, error, _ = kwargs.get("exc_info", (None, None, None))
        why = error.reason if isinstance(error, HTTPError) and error.reason else "this cannot be answered"
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {why}\n")

    def answer(self, data: object) -> None:
        self.answer_json(msgspec.json.encode(data))

    def answer_json(self, data: bytes) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(data)

    @property
    def run(self) -> ShownRun:
        number = self.number("run", 0)
        if not 0 <= number < len(self.site.runs):
            raise HTTPError(404, reason="no such run")
        return self.site.runs[number]

    def number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise HTTPError(400, reason=f"{name} is a number") from None


class _Page(_Guarded):
    """The page itself; with the secret in the address, the cookie as well."""

    def knows_secret(self) -> bool:
        if self.guard.knows(self.get_query_argument("token", None)):
            name = self.guard.cookie_name(self.port)
            self.set_cookie(name, self.guard.secret, httponly=True, samesite="Strict", path="/")
            return True
        return super().knows_secret()

    def get(self) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish((_OURS / "page.html").read_bytes())


class _Asset(_Guarded):
    def get(self, name: str) -> None:
        folder = ASSETS.get(name)
        if folder is None:
            raise HTTPError(404)
        self.set_header("Content-Type", f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
        self.finish((folder / name).read_bytes())


class _About(_Guarded):
    def get(self) -> None:
        site = self.site
        self.answer(
            {
                "runs": [run.about() for run in site.runs],
                "comparison": site.comparison,
                "status": site.status(),
            }
        )


class _Picture(_Guarded):
    def get(self) -> None:
        self.answer_json(self.run.picture())


class _State(_Guarded):
    """The state at a time (`t`), at a position (`at`), or steps away from one (`at`, `by`, `to`); `sessions`:
    with what the broker holds."""

    def get(self) -> None:
        run, node = self.run, self.get_query_argument("node", "")
        at = self.get_query_argument("at", None)
        t_us = self.number("t", 0) if at is None or self.get_query_argument("t", "") else None
        position = run.index.position_at(t_us or 0) if at is None else self.number("at", 0)
        by = self.number("by", 0)
        if by:
            step = self.get_query_argument("to", "event")
            if step not in ("event", *STEPS.values()):
                raise HTTPError(400, reason="to: event, fault or death")
            to: StepTo = step
            way: Literal[-1, 1] = 1 if by > 0 else -1
            for _ in range(min(abs(by), _MOST_STEPS)):
                position = run.step(position, way, to, self.get_query_argument("only", ""))
        sessions = self.number("sessions", 0) > 0
        self.answer(run.state(position, node, None if by else t_us, sessions=sessions))


class _SearchAnswer(_Guarded):
    def get(self) -> None:
        text = self.get_query_argument("text", "")
        self.answer(self.run.found(text) if text else {"count": 0, "events": []})


class _Do(_Guarded):
    """Something is to be done to the run."""

    async def post(self, name: str) -> None:
        act = self.site.acts.get(name)
        if act is None:
            raise HTTPError(404, reason="nothing like that can be done to this run")
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise HTTPError(415, reason="JSON is expected")
        try:
            wanted = msgspec.json.decode(self.request.body, type=dict[str, Any])
            self.answer(await act(wanted))
        except (ValueError, msgspec.MsgspecError) as error:
            self.set_status(422)
            self.answer({"error": str(error)})


class Watch(WebSocketHandler, _Guarded):
    """A page that is told what is new of a run that goes on."""

    def open(self, *_: str) -> None:
        self.site.watchers.add(self)
        over = all(run.over for run in self.site.runs)  # both may be news since the page has asked
        news = {"over": True} if over else {"status": self.site.status()}
        self.tell(msgspec.json.encode(news).decode())

    def tell(self, message: str) -> None:
        """Send it, unless the page has gone: before, or while it is being sent, as the future says then."""
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(message).add_done_callback(lambda sent: sent.cancelled() or sent.exception())

    def on_message(self, message: str | bytes) -> None:
        pass  # a page has nothing to say here

    def on_close(self) -> None:
        self.site.watchers.discard(self)

    def check_origin(self, origin: str) -> bool:
        return self.guard.allows_origin(origin, self.request.host, needed=True)


class PageServer:
    """Listens; made on the thread of its loop.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, site: Site, host: str = "127.0.0.1", port: int = 0) -> None:
        guard = Guard(host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sockets = bind_sockets(port, host, family=family)
        except OSError as error:  # with the place that it is about
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
        self.port: int = sockets[0].getsockname()[1]
        given = {"site": site, "guard": guard, "port": self.port}
        application = Application(
            [
                (r"/", _Page, given),
                (r"/assets/([a-z.]+)", _Asset, given),
                (r"/about", _About, given),
                (r"/picture", _Picture, given),
                (r"/state", _State, given),
                (r"/found", _SearchAnswer, given),
                (r"/do/([a-z-]+)", _Do, given),
                (r"/news", Watch, given),
            ],
            default_handler_class=_Nothing,
            default_handler_args=given,
            compress_response=False,
            log_function=lambda _handler: None,
            websocket_ping_interval=20,
        )
        self._server = HTTPServer(application, max_body_size=_LARGEST_BODY)
        self._server.add_sockets(sockets)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}/?token={guard.secret}"

    async def close(self) -> None:
        """Listen no more."""
        self._server.stop()
        await self._server.close_all_connections()


class _Nothing(_Guarded):
    def get(self) -> None:
        raise HTTPError(404)


@contextlib.contextmanager
def serving(
    site: Site, host: str, port: int, turn: Callable[[], None] = lambda: None, every_s: float = 0.2
) -> Iterator[PageServer]:
    """Serve on a thread of its own meanwhile.

    Args:
        turn: called on that thread again and again.

    Raises:
        OSError: it cannot listen there.
    """
    ready: Future[tuple[PageServer, Callable[[], object]]] = Future()

    async def serve() -> None:
        try:
            server = PageServer(site, host, port)
        except OSError as error:
            ready.set_exception(error)
            return
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        ready.set_result((server, lambda: loop.call_soon_threadsafe(over.set)))
        while not over.is_set():
            turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every_s)
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="page", daemon=True)
    thread.start()
    server, end = ready.result()
    try:
        yield server
    finally:
        end()
        thread.join(5)
