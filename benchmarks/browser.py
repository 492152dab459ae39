"""Headless Chromium, for tests, benchmarks and the pictures in documents."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any


class Browser:
    """Headless Chromium over its debugging pipe: no driver, no port, nothing to install but the browser."""

    def __init__(self, profile: Path) -> None:
        """Start it. RuntimeError: none is installed."""
        named = ("chromium", "chromium-browser", "google-chrome")
        executable = next(filter(None, map(shutil.which, named)), None)
        if executable is None:
            raise RuntimeError("a browser is needed: install Debian's package `chromium`")
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        command = [executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # the browser reads commands from descriptor 3 and answers on 4; dash knows only one-digit descriptors
        shell = ["bash", "-c", f'exec 3<&{commands} 4>&{answers} "$0" "$@"', *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        page = next(x for x in self.call("Target.getTargets")["targetInfos"] if x["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Performance"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            received = os.read(self._answers, 1 << 20)
            assert received, "the browser ended"
            self._buffer += received
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer

    def js(self, expression: str) -> Any:
        answer = self.call(
            "Runtime.evaluate",
            expression=f"{{ {expression} }}",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def open(self, page: Path | str) -> float:
        """Open a report, or a page by its address; returns the milliseconds until its lanes stood."""
        self._events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.until("document.body?.dataset.ready")
        return float(self.js("document.body.dataset.ready"))

    def cpu_s(self) -> float:
        """Processor time that the page's process has taken since it began."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime"))

    def problems(self) -> list[Any]:
        return [e["params"] for e in self._events if e.get("method") == "Runtime.exceptionThrown"]

    def requests(self) -> list[str]:
        """Everything the page asked for besides itself."""
        urls = [
            e["params"]["request"]["url"]
            for e in self._events
            if e.get("method") == "Network.requestWillBeSent" and e["params"]["type"] != "Document"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def colours(self, wanted: list[str]) -> list[int]:
        """How many pixels of the window have about these colours."""
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        counts: list[int] = self.js(
            f"(async () => {{ const wanted = {json.dumps(wanted)}, counts = wanted.map(() => 0);"
            f"const image = new Image(); image.src = 'data:image/png;base64,{picture}'; await image.decode();"
            "const canvas = Object.assign(document.createElement('canvas'),"
            " {width: image.width, height: image.height}), context = canvas.getContext('2d');"
            "context.drawImage(image, 0, 0);"
            "const {data} = context.getImageData(0, 0, canvas.width, canvas.height);"
            "const rgb = wanted.map(c => [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16)));"
            "for (let i = 0; i < data.length; i += 4) rgb.forEach((c, n) => {"
            " if (c.every((v, k) => Math.abs(v - data[i + k]) < 6)) counts[n]++; });"
            "return counts; })()"
        )
        return counts

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's size from now on, and which colours the user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key, as it is called in a KeyboardEvent."""
        text = key if len(key) == 1 else ""
        given = {"key": key, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def click(self, x: float, y: float) -> None:
        """Click at a point of the window."""
        at = {"x": x, "y": y, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    def save_picture(self, path: Path) -> None:
        """Write what is in the window as PNG."""
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        self._session = ""
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._answers)


_FLAGS = [
    "--headless",
    "--no-sandbox",  # as root, in a container, there is no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
    "--remote-debugging-pipe",
]
