"""Opening a page in a browser without a screen, and asking it what a person would notice: DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from tests.chromium import find_browser

START_S_MAX = 60
ANSWER_S_MAX = 60
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


class Tab:
    """A page that is open, what it asked the network for, and what was complained about."""

    def __init__(self, address: str) -> None:
        """Speak with a page."""
        self._socket = websocket.create_connection(address, timeout=ANSWER_S_MAX)
        self._asked = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and return the answer."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == self._asked:
                assert "error" not in message, (method, message["error"])
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        what, about = message.get("method"), message.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif what == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif what == "Runtime.consoleAPICalled":
            self.complaints.append(f"console.{about['type']}")
        elif what == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        return message

    def open(self, url: str, width: int, height: int, scheme: str = "light", *, scripts: bool = True) -> None:
        """Open a page in a window of a size; wait until all of it is there."""
        self.requests.clear()
        self.complaints.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=url)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to; DevTools may ask though the page runs no scripts."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Draw the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Print the page."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])


@contextmanager
def open_tab() -> Iterator[Tab]:
    """Start a browser; end it with its profile."""
    browser = find_browser()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        running = subprocess.Popen(
            [browser.program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **browser.environment},
        )
        try:
            tab = Tab(_page_address(Path(profile) / "DevToolsActivePort", running))
            try:
                yield tab
            finally:
                tab.close()
        finally:
            running.terminate()
            running.wait(START_S_MAX)


def _page_address(told: Path, running: subprocess.Popen[bytes]) -> str:
    """Wait for the browser's port, open a page, and return where it can be spoken with."""
    until = time.monotonic() + START_S_MAX
    while not (told.exists() and len(told.read_text().splitlines()) == 2):
        assert running.poll() is None, f"the browser ended with {running.returncode}"
        assert time.monotonic() < until, "the browser does not start"
        time.sleep(0.05)
    port, path = told.read_text().splitlines()
    control = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=ANSWER_S_MAX)
    control.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
    while (message := json.loads(control.recv())).get("id") != 1:
        pass
    control.close()
    return f"ws://127.0.0.1:{port}/devtools/page/{message['result']['targetId']}"
