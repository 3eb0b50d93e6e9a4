"""A browser that cannot leave this machine: Debian's Chromium, driven by Playwright.

What belongs here: how Chromium is started and kept to loopback. What does not: where to click
(`pages.py`). Playwright documentation: "Browsers", "Network".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
MISSING = f"{CHROMIUM} is missing: run rwt_assets_tests/install_system_packages.sh"
SIZE = {"width": 1280, "height": 800}
# Machines are shared; nothing waits longer than it has to.
PATIENCE_MS = 60_000
LOOPBACK = "127.0.0.1"
NETWORK = {"http", "https", "ws", "wss"}
ARGUMENTS = [
    "--no-sandbox",  # it does not start as root otherwise, and sees pages of this project only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No other host is found, neither by a page nor by the browser itself. A route of
    # Playwright's would see the pages alone, and would turn the cache off.
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}",
]


@dataclass
class Traffic:
    """What the pages asked for, of this machine and of others; of others they get nothing."""

    here: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def note(self, url: str) -> None:
        parts = urlsplit(url)
        local = parts.scheme not in NETWORK or parts.hostname == LOOPBACK
        (self.here if local else self.elsewhere).append(url)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block; its profile is a new one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser, traffic: Traffic) -> Iterator[Page]:
    """A page that remembers nothing of those before it."""
    context = browser.new_context(viewport=SIZE, timezone_id="UTC", locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    context.on("request", lambda request: traffic.note(request.url))
    page = context.new_page()
    page.on("websocket", lambda socket: traffic.note(socket.url))
    try:
        yield page
    finally:
        context.close()
