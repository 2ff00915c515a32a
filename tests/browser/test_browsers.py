"""What a browser may not be made to send, and may not keep; and what it shows once the rights are gone."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from orgs.actions import Actor
from orgs.actions.members import set_role
from orgs.models import MEMBER, Membership, User
from tests.browser.conftest import Visitor
from tests.browser.test_account import PASSWORD, sign_out
from tests.browser.test_thirteen import set_up
from tests.serving import ROOT, Server

KEPT = """async () => [
  ...Object.values(localStorage), ...Object.values(sessionStorage), ...await caches.keys(),
  ...(await indexedDB.databases()).map(base => base.name), document.cookie,
].filter(Boolean)"""


class Lure(HTTPServer):
    """A page of somebody else that sends a form to `aim` as soon as it is open."""

    aim = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), LurePage)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class LurePage(BaseHTTPRequestHandler):
    server: Lure

    def do_GET(self) -> None:
        body = f"""<!doctype html><title>Win</title>
            <form method="post" action="{self.server.aim}"><input name="name" value="Eve's"></form>
            <script>document.forms[0].submit()</script>"""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def lure() -> Iterator[Lure]:
    with Lure() as server:
        yield server
        server.shutdown()


def beside(server_folder: Path, act: Callable[[], None]) -> None:
    """Does it in another process, on the database of the server."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(server_folder)}
    code = f"from {act.__module__} import {act.__name__}; {act.__name__}()"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def demote_ada() -> None:
    owned = Membership.objects.get()
    bob = User.objects.create_user("bob@example.com", PASSWORD, name="Bob")
    Membership.objects.create(organization=owned.organization, user=bob, role=owned.role)
    set_role(organization=owned.organization, user=owned.user, role=MEMBER, by=Actor.command("test"))


def test_a_form_of_another_site_does_nothing(keyhold: Server, visit: Callable[..., Visitor], lure: Lure) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    lure.aim = f"{keyhold.url}/orgs/new/"
    ada.page.goto(lure.url)
    ada.sees("This form is too old")
    ada.page.goto(f"{keyhold.url}/o/acme/")
    ada.sees("Bring your first key")  # she is signed in all the while
    expect(ada.page.get_by_text("Eve's")).to_have_count(0)
    ada.complaints.clear()  # the lure has no policy, and 403 is right
    assert keyhold.process.stderr is not None
    assert "Origin checking failed" in keyhold.process.stderr.readline()


def test_after_signing_out_the_browser_has_nothing(keyhold: Server, visit: Callable[..., Visitor]) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    for page in ("Members", "Client keys"):
        ada.press("link", page)
        expect(ada.page.get_by_role("heading", level=1, name=page)).to_be_visible()
    ada.page.go_back()
    expect(ada.page.get_by_role("heading", level=1, name="Members")).to_be_visible()
    assert ada.page.evaluate(KEPT) == ["/o/acme/members/"]  # htmx notes where it is, and no page
    sign_out(ada, keyhold)
    ada.sees("Sign in")
    assert ada.page.evaluate(KEPT) == []
    assert [cookie["name"] for cookie in ada.page.context.cookies()] == ["csrf"]  # of the sign-in form
    ada.page.go_back()
    ada.page.go_back()
    ada.sees("Sign in")
    expect(ada.page.get_by_text("ada@example.com")).to_have_count(0)


def test_a_role_that_another_process_took_is_gone_at_the_next_click(
    keyhold: Server, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    ada = visit(keyhold.link)
    set_up(ada)
    ada.page.goto(f"{keyhold.url}/o/acme/settings/")
    ada.sees("Delete organization")
    beside(tmp_path / "data", demote_ada)
    ada.press("link", "Delete organization")
    ada.sees("Only owners can see this")
    ada.complaints.clear()  # 403 is what was asked for
