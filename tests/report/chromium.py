"""Chromium without a window, driven over its debugging pipe: what a reader's browser does with a page."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
MEASURE = """[
    window.innerWidth,
    document.documentElement.scrollWidth,
    [...document.images].filter(image => image.complete && image.naturalWidth > 0).length,
]"""
PATIENCE = 60.0
"""How long an answer may take [seconds]."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What happened when a page was opened.

    Attributes:
        width: width of the window that the page sees [pixels].
        content_width: width that the document takes, larger when it must be scrolled sideways [pixels].
        requests: addresses asked for, without those that are data in the page itself.
        messages: errors and warnings of the console.
        images: how many images the browser could draw.
        image: the whole page as PNG.
    """

    width: int
    content_width: int
    requests: tuple[str, ...]
    messages: tuple[str, ...]
    images: int
    image: bytes


class Chromium:
    """One browser process; use it in a `with`."""

    def __init__(self, profile: Path) -> None:
        self.profile, self.number, self.unread = profile, 0, b""

    def __enter__(self) -> Self:
        ends = [above_standard(fd) for fd in (*os.pipe(), *os.pipe())]
        program = shutil.which("chromium") or "chromium"
        flags = (*FLAGS, f"--user-data-dir={self.profile}", "about:blank")
        command = [sys.executable, "-S", "-c", LAUNCH, str(ends[0]), str(ends[3]), program, *flags]
        self.process = subprocess.Popen(
            command, pass_fds=(ends[0], ends[3]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(ends[0])
        os.close(ends[3])
        self.commands, self.answers = ends[1], ends[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.send("Browser.close")
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.commands)
        os.close(self.answers)

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters} | (
            {"sessionId": session} if session else {}
        )
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        return self.number

    def next_message(self, until: float) -> dict[str, Any]:
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium did not answer")
            self.unread += os.read(self.answers, 1 << 20)
        text, _, self.unread = self.unread.partition(b"\0")
        return dict(json.loads(text))

    def ask(self, method: str, events: list[dict[str, Any]], session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result, keeping events that come before it."""
        number, until = self.send(method, session, **parameters), time.monotonic() + PATIENCE
        while (message := self.next_message(until)).get("id") != number:
            events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return dict(message["result"])

    def visit(self, page: Path, width: int, height: int = 900) -> Visit:
        """Open a page in a window of this width and look at it."""
        events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", events, url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", events, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable", events, session)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", events, session, **screen)
        self.ask("Emulation.setScrollbarsHidden", events, session, hidden=True)
        self.ask("Page.navigate", events, session, url=page.as_uri())
        until = time.monotonic() + PATIENCE
        while not any(event.get("method") == "Page.loadEventFired" for event in events):
            events.append(self.next_message(until))
        found = self.ask("Runtime.evaluate", events, session, expression=MEASURE, returnByValue=True)
        shot = self.ask("Page.captureScreenshot", events, session, captureBeyondViewport=True, format="png")
        self.ask("Target.closeTarget", events, targetId=target)
        sizes = dict(zip(("width", "content_width", "images"), found["result"]["value"], strict=True))
        image = base64.b64decode(shot["data"])
        return Visit(**sizes, requests=asked_for(events), messages=said(events), image=image)


def above_standard(fd: int) -> int:
    """The same end of a pipe under a number that the browser's own 3 and 4 cannot collide with."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return copy


def asked_for(events: list[dict[str, Any]]) -> tuple[str, ...]:
    urls = (event["params"]["request"]["url"] for event in events if event.get("method") == "Network.requestWillBeSent")
    return tuple(url for url in urls if not url.startswith("data:"))


def said(events: list[dict[str, Any]]) -> tuple[str, ...]:
    loud = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.loadingFailed")
    return tuple(json.dumps(event["params"]) for event in events if event.get("method") in loud)
