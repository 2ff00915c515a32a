"""A real server, a real browser, and a person who uses the keyboard."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, expect, sync_playwright

from tests.fake import FakeProvider
from tests.serving import Server, stop

QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SETTLED = """() => Promise.race([
  new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    .then(() => Promise.allSettled(document.getAnimations().map(animation => animation.finished))),
  new Promise(resolve => setTimeout(resolve, 10000)),  // a browser that is short of time may draw no frame for long
])"""
EXPECTED = re.compile(r"Failed to load resource: the server responded with a status of (409|422)")  # a conflict, a mistake


@pytest.fixture
def keyhold(tmp_path: Path, first_start: Path, fake_provider: FakeProvider) -> Iterator[Server]:
    """A server of its own with no user yet, on SQLite. All providers are the fake one."""
    shutil.copytree(first_start, tmp_path / "data")
    server = Server.start(tmp_path / "data", fake_provider.overrides())
    yield server
    _, errors = stop(server.process)
    assert errors == ""


@pytest.fixture
def chromium() -> Iterator[Browser]:
    """One for each test: while Playwright's loop runs, no other loop can, and async tests need theirs."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium; bin/chromium installs one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser and no mouse. Notes what a browser complains about."""

    def __init__(self, page: Page, *, scripts: bool) -> None:
        self.page, self.scripts = page, scripts
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._check_policy)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.match(message.text):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _check_policy(self, response: Response) -> None:
        if "text/html" in response.headers.get("content-type", ""):
            policy = response.headers.get("content-security-policy", "")
            if "default-src 'none'" not in policy or "unsafe-" in policy:
                self.complaints.append(f"{response.url} has the policy {policy!r}")

    def reach(self, target: Locator) -> None:
        """Press Tab until it has the focus."""
        expect(target).to_be_visible()
        element = target.element_handle()  # looked for once, not after every Tab
        for _ in range(150):
            if element.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"The keyboard does not reach {target}")

    def press(self, role: str, name: str | re.Pattern[str], *, within: Locator | None = None) -> None:
        self.reach((within or self.page).get_by_role(role, name=name, exact=isinstance(name, str)).first)  # type: ignore[arg-type]
        self.page.keyboard.press("Enter")

    def write(self, label: str, text: str) -> None:
        """Paste into the field of that label, in place of what is there."""
        self.reach(self.page.get_by_label(label, exact=True))
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)

    def sees(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()

    def look(self) -> None:
        """The page as it is now, dark on a phone and light on a desk: nothing sticks out, and axe finds nothing."""
        self.page.wait_for_load_state()
        expect(self.page.locator("h1").first).to_be_visible()
        for viewport, scheme in ((NARROW, "dark"), (WIDE, "light")):
            self.page.set_viewport_size(viewport)  # type: ignore[arg-type]
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, self.page.url
            if self.scripts:
                self.page.evaluate(SETTLED)
                results = Axe().run(self.page)
                assert results.violations_count == 0, f"{self.page.url} {viewport} {scheme}: {results.generate_report()}"


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """`visit(url, scripts=True)` opens a fresh browser window. At the end no window may have complained."""
    visitors: list[Visitor] = []

    def open_window(url: str, *, scripts: bool = True) -> Visitor:
        context = chromium.new_context(java_script_enabled=scripts, viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
        visitor = Visitor(context.new_page(), scripts=scripts)
        visitors.append(visitor)
        visitor.page.goto(url)
        return visitor

    yield open_window
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
