"""A superuser sets up a second factor, finds an organization, opens it, turns a key off and takes the diagnostics along."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from allauth.mfa.totp.internal import auth as totp

from tests.browser.conftest import Visitor
from tests.browser.test_thirteen import add, set_up
from tests.fake import FakeProvider
from tests.serving import ROOT, Server

ROOT_EMAIL, PASSWORD = "root@example.com", "correct horse battery staple"


def make_superuser(folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--email", ROOT_EMAIL]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def code(secret: str) -> str:
    """What an authenticator app shows now."""
    return totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time())))


def set_up_second_factor(root: Visitor) -> None:
    root.sees("The staff console needs a second factor.")
    root.page.get_by_role("link", name="Set up").first.click()
    secret = root.page.locator(".help code").inner_text()
    while "activate" in root.page.url:  # again, where the next code came before this one was sent
        root.page.get_by_label("Code from the app").fill(code(secret))
        with root.page.expect_navigation():
            root.page.get_by_role("button", name="Turn on").click()
    root.sees("This is the only time they are shown.")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_support_from_the_door_to_a_key_that_is_off(
    keyhold: Server, visit: Callable[..., Visitor], fake_provider: FakeProvider, tmp_path: Path, scripts: bool
) -> None:
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    add(ada, f"{keyhold.url}/o/acme/providers/add/openai/", fake_provider, "openai", "valid", "Good")
    make_superuser(tmp_path / "data")
    root = visit(f"{keyhold.url}/staff/", scripts=scripts)
    root.write("Email", ROOT_EMAIL)
    root.write("Password", PASSWORD)
    root.page.keyboard.press("Enter")
    set_up_second_factor(root)
    root.page.goto(f"{keyhold.url}/staff/")
    root.sees("You are in the staff console.")
    root.look()
    root.write("Find an organization", "ada@example")
    root.press("button", "Find")
    root.sees("What matches")
    root.look()
    root.press("link", "Acme", within=root.page.get_by_role("main"))
    root.press("button", "Open for an hour")
    root.look()
    root.write("Reason:", "Ticket 4711")
    root.press("button", "Open for an hour")
    root.sees("Acme is open to you until")
    root.look()
    with root.page.expect_download() as downloading:
        root.press("button", "Download diagnostics")
    assert downloading.value.suggested_filename.startswith("keyhold-acme-")
    root.press("link", "OpenAI Good", within=root.page.get_by_role("main"))
    root.look()
    root.page.locator("select[name='CHANGE_FORM-action']").select_option("turn_off")
    root.press("button", "Run")
    root.sees("Only an owner can turn it on again.")
    root.look()
    root.press("button", "Turn off")
    root.sees("Turn off: done for OpenAI Good.")
    root.look()
    root.press("link", "Home")
    root.press("link", "Acme", within=root.page.get_by_role("main"))
    root.press("button", "End visit")
    root.sees("Your visit to Acme is over.")
    root.look()
    ada.page.goto(f"{keyhold.url}/o/acme/audit/")
    ada.sees("left the organization in the staff console")
    ada.sees("opened the organization in the staff console")
