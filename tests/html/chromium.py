"""A small client for headless Chromium: what tests and screenshots need of the DevTools protocol.

It needs no driver and no package. The browser gets a profile of its own, which is removed, and no network is
needed: pages are files.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import count
from select import select
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars")
_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser talks over descriptors 3 and 4, and over none else."""
_PATIENCE = 60.0
"""Seconds that the browser may take for one answer; a loaded machine needs several to start it."""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome: CHROMIUM, or what the system has; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for found in map(shutil.which, NAMES) if found), None)


class Chromium:
    """One browser with one page. Everything that a page complains of is kept in `complaints`."""

    def __init__(self, executable: str) -> None:
        self.complaints: list[str] = []
        self._numbers = count(1)
        self._session: str | None = None
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        read_by_browser, self._out = os.pipe()
        self._in, written_by_browser = os.pipe()
        # As root, as in most containers, Chromium starts only without its sandbox.
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        ends = (read_by_browser, written_by_browser)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *map(str, ends), executable, *_FLAGS, *sandbox,
             f"--user-data-dir={self._profile.name}", "--disable-dev-shm-usage"],
            pass_fds=ends, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in ends:
            os.close(end)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE)
        os.close(self._out)
        os.close(self._in)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; RuntimeError if the browser refuses."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        answer = self._until(lambda one: one.get("id") == number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, fragment: str = "") -> float:
        """Open a file, wait until it is loaded and painted, and return how many seconds that took."""
        self.load("about:blank")
        self.complaints.clear()
        since = time.perf_counter()
        self.load(path.resolve().as_uri() + fragment)
        self.run("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(0))))")
        return time.perf_counter() - since

    def load(self, url: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self._until(lambda one: one.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression, awaited; RuntimeError if it throws."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def press(self, key: str, text: str = "", modifiers: int = 0) -> None:
        """Press and release a key, such as Tab, Enter or ArrowRight."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36}
        text = {"Enter": "\r", " ": " "}.get(key, text)
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def size(self, width: int, height: int, *, scale: float = 1.0, mobile: bool = False) -> None:
        """Set the size of the window in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def prefer(self, scheme: str) -> None:
        """Let the system prefer light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        more = clip if whole else {}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **more)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def _until(self, wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            for place, one in enumerate(self._events):
                if wanted(one):
                    del self._events[: place + 1]
                    return one
            self._events += self._receive(deadline)

    def _receive(self, deadline: float) -> list[dict[str, Any]]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError("Chromium does not answer.")
            self._buffer += data
        *messages, self._buffer = self._buffer.split(b"\0")
        events = [json.loads(message) for message in messages]
        for event in events:
            self._listen(event.get("method", ""), event.get("params", {}))
        return events

    def _listen(self, method: str, what: dict[str, Any]) -> None:
        """Keep what a page complains of, and every attempt to load anything but the page itself."""
        if method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.complaints.append(
                f"exception: {details.get('exception', {}).get('description', details['text'])}"
            )
        elif method == "Runtime.consoleAPICalled" and what["type"] in {"error", "warning", "assert"}:
            self.complaints.append(f"console: {what['args']}")
        elif method == "Log.entryAdded" and what["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"log: {what['entry']['text']}")
        elif method == "Network.requestWillBeSent" and what.get("type") != "Document":
            self.complaints.append(f"request: {what['request']['url']}")
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {what['message']}")
