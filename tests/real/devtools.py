"""Drives a headless Chromium as a person would, with clicks and keys, by the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.real.browser import chromium

# As root it refuses its sandbox, and without the others it asks its maker's servers for this and that.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
PATIENCE = 30


class Tab:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, said["error"]
                return said["result"]

    def open(self, url: str) -> None:
        """Go to a page, once more whenever a network interface that came or went has ended the way there."""
        deadline = time.monotonic() + PATIENCE
        while error := self.call("Page.navigate", url=url).get("errorText"):
            assert error == "net::ERR_NETWORK_CHANGED" and time.monotonic() < deadline, error

    def value(self, script: str) -> Any:
        """What a JavaScript expression comes to in the page."""
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := self.value(script)):
            assert time.monotonic() < deadline, f"never so: {script}\n{self.value('document.body.innerText')}"
            time.sleep(0.05)
        return found

    def click(self, selector: str) -> None:
        script = f"""(() => {{ const found = document.querySelector({json.dumps(selector)}); found.scrollIntoView();
            const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        x, y = self.value(script)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(self, path: Path) -> None:
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def tab(home: Path) -> Iterator[Tab]:
    argv = [chromium(), *OPTIONS, f"--user-data-dir={home}/profile", "about:blank"]
    with (home / "chromium.log").open("w") as log:
        browser = subprocess.Popen(argv, env={**os.environ, "HOME": str(home)}, stdout=log, stderr=log)
    try:
        with connect(_page(home), max_size=None) as socket:
            yield Tab(socket)
    finally:
        browser.terminate()
        browser.wait(PATIENCE)


def _page(home: Path) -> str:
    """The address of the first page's DevTools, which the browser's own is told in its log."""
    import requests

    deadline = time.monotonic() + PATIENCE
    while True:
        found = re.search(r"ws://([0-9.]+:\d+)/", (home / "chromium.log").read_text())
        if found:
            pages = requests.get(f"http://{found[1]}/json/list", timeout=PATIENCE).json()
            for page in pages:
                if page["type"] == "page":
                    return str(page["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline, (home / "chromium.log").read_text()
        time.sleep(0.1)
