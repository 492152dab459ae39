"""Nobody but the user's own page is answered: not without the secret, not from another page, not under
another name, not over a WebSocket."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from dcompute_sim import trace as t
from dcompute_sim.page.page_guard import Guard
from dcompute_sim.page.page_server import ASSETS, PageServer, Site, serving
from dcompute_sim.page.shown_run import Facts, ShownRun

from ..conftest import PATIENCE_S

STARTED = t.RunStarted(t_us=0, scenario="s", seed=1, time="real", broker="b", broker_granularity_s=0)
PATHS = ("/about", "/picture", "/state?t=0", "/found?text=x", "/assets/page.js", "/nothing", "/news")


def server_site() -> Site:
    return Site([ShownRun(Facts("s", "", STARTED), [STARTED])])


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    run = ShownRun(Facts("s", "", STARTED), [STARTED, t.RunEnded(t_us=5, reason="finished")])

    async def echo(wanted: dict[str, object]) -> dict[str, object]:
        if not wanted:
            raise ValueError("nothing is wanted")
        return wanted

    with serving(Site([run], acts={"echo": echo}), "127.0.0.1", 0) as server:
        yield server


def ask(
    server: PageServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    return answer


def secret(server: PageServer) -> str:
    return urlsplit(server.address).query.removeprefix("token=")


def test_the_address_gives_a_cookie_that_opens_the_rest(server: PageServer) -> None:
    answer = ask(server, f"/?token={secret(server)}")
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 200
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    opened = cookie.partition(";")[0]
    for path in (*PATHS[:5], *(f"/assets/{name}" for name in ASSETS)):
        assert ask(server, path, Cookie=opened).status == 200, path
        assert ask(server, path, Authorization=f"Bearer {secret(server)}").status == 200
    assert ask(server, "/nothing", Cookie=opened).status == 404
    assert ask(server, "/assets/..%2fpage_guard.py", Cookie=opened).status == 404


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", *PATHS])
def test_without_the_secret_nothing_is_told(server: PageServer, path: str) -> None:
    for headers in ({}, {"Cookie": f"dcompute-page-{server.port}=wrong"}, {"Authorization": "Bearer é"}):
        answer = ask(server, path, **headers)
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", *PATHS])
def test_a_name_of_somebody_elses_that_leads_here_is_refused(server: PageServer, path: str) -> None:
    known = {"Authorization": f"Bearer {secret(server)}"}
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "localhost.evil"):
        assert ask(server, path, Host=host, **known).status == 403, host
    assert ask(server, "/about", Host="localhost:9", **known).status == 200, "through a tunnel"


def test_another_page_may_neither_read_nor_do_nor_listen(server: PageServer) -> None:
    known = {"Authorization": f"Bearer {secret(server)}"}
    own, body = f"http://127.0.0.1:{server.port}", '{"a": 1}'
    socket = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    json = {"Content_Type": "application/json"}
    for origin in (
        "http://evil.example",
        "null",
        "http://localhost:1",
        f"http://127.0.0.1:{server.port + 1}",
    ):
        assert ask(server, "/about", Origin=origin, **known).status == 403
        assert ask(server, "/do/echo", "POST", body, Origin=origin, **json, **known).status == 403
        assert ask(server, "/news", Origin=origin, **socket, **known).status == 403
    assert ask(server, "/do/echo", "POST", body, **json, **known).status == 403, "it does not say from where"
    assert ask(server, "/news", **socket, **known).status == 403
    assert ask(server, "/news", Origin=own, **socket).status == 401
    assert ask(server, "/do/echo", "POST", body, Origin=own, **known).status == 415, "a form can be sent"
    assert ask(server, "/do/echo", "POST", body, Origin=own, **json, **known).status == 200
    assert ask(server, "/do/echo", "POST", "{}", Origin=own, **json, **known).status == 422
    assert ask(server, "/do/echo", "POST", "[", Origin=own, **json, **known).status == 422
    assert ask(server, "/do/other", "POST", body, Origin=own, **json, **known).status == 404


def test_the_page_runs_nothing_but_its_own(server: PageServer) -> None:
    for path in ("/", "/about", "/nothing"):
        policy = ask(server, path, Authorization=f"Bearer {secret(server)}").headers[
            "Content-Security-Policy"
        ]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
    for name, folder in ASSETS.items():
        text = (folder / name).read_text("utf-8")
        if name != "uplot.js":
            assert not re.search(r"https?://", text), f"{name} names something to fetch"
        assert not re.search(r"\son\w+=[\"']|<style|style=\"", text), f"{name} has what the policy forbids"


def test_a_port_that_is_taken_is_named(server: PageServer) -> None:
    taken = serving(server_site(), "127.0.0.1", server.port)
    with pytest.raises(OSError, match=f"in use: '127.0.0.1:{server.port}'"), taken:
        pass


def test_wrong_words_are_answered_with_what_is_wrong(server: PageServer) -> None:
    known = {"Authorization": f"Bearer {secret(server)}"}
    for path in ("/state?t=x", "/state?at=1&by=1&to=there", "/picture?run=a"):
        assert ask(server, path, **known).status == 400, path
    assert ask(server, "/picture?run=7", **known).status == 404


def test_the_guard_knows_its_own_names() -> None:
    guard = Guard("lab.example")
    assert all(map(guard.allows_host, ("lab.example:80", "LAB.example", "[::1]:80", "10.0.0.7", "localhost")))
    assert not any(map(guard.allows_host, ("", "lab.example.evil", "[evil", "127.1.evil:80")))
    assert guard.cookie_name(1) != guard.cookie_name(2), "two pages on one host"
    assert len({Guard("h").secret for _ in range(3)}) == 3
