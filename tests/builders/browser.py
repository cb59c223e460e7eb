"""A real headless Chromium, driven over its debugging pipe: open a page, look, click, and tell what it asked for."""

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 60.0
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip


# Chromium reads commands from descriptor 3 and answers on descriptor 4. They are moved there by a program of their own:
# between fork and exec gRPC's threads may begin anew in the child, and these numbers may be theirs.
_WIRED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Page:
    """An open page. `complaints` are its errors and warnings, `requests` the addresses that it asked for."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def command(self, method: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._browser.command(method, params, self._session)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, waited for where it is a promise."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never came true: {condition}"
            time.sleep(0.05)

    def size(self, width: int, height: int = 900, *, phone: bool = False) -> None:
        """Give the page a window, as a phone's where that is wanted."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    def media(self, kind: str = "screen", scheme: str = "light") -> None:
        """Show it on a screen or in print, light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", media=kind, features=[feature])

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.command("Page.navigate", url=address)
        self.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def heard(self, method: str, params: dict[str, Any]) -> None:
        """Note an event."""
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(
                str(
                    params["exceptionDetails"]
                    .get("exception", {})
                    .get("description", params["exceptionDetails"]["text"])
                )
            )
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(params["entry"]["text"])


class Browser:
    """A running browser."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._next, self._rest = 0, b""
        self._pages: dict[str, Page] = {}

    def command(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        """Send a command and wait for its answer, noting the events that come meanwhile."""
        self._next += 1
        number = self._next
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._read()
            if heard.get("id") == number:
                assert "error" not in heard, heard
                return heard["result"]
            page = self._pages.get(heard.get("sessionId", ""))
            if page is not None and "method" in heard:
                page.heard(heard["method"], heard["params"])

    def page(self) -> Page:
        """A new, empty page that notes what it asks for and complains about."""
        target = self.command("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.command("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        return page

    def _read(self) -> Any:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(until - time.monotonic(), 0.0))
            assert ready, "the browser does not answer"
            more = os.read(self._out, 1 << 20)
            assert more, "the browser is gone"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(chromium: str, folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`; it ends with the block."""
    commands, into = (_high(end) for end in os.pipe())
    out, answers = (_high(end) for end in os.pipe())
    start = [sys.executable, "-c", _WIRED, str(commands), str(answers), chromium, *_OPTIONS]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [*start, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(commands, answers), stdout=log, stderr=log,
        )  # fmt: skip
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(into, out)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(into)
        os.close(out)


def _high(descriptor: int) -> int:
    """The same pipe's end under a number that is in nobody's way."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
