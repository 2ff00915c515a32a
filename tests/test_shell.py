"""What every page has in common: policy, caching, navigation, themes, errors, and the marks of the interface."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.messages import constants
from django.db import OperationalError, connection
from django.forms import CharField, Form
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import path
from django.views.defaults import bad_request, page_not_found, permission_denied, server_error

from keys.actions import issue_management_key
from orgs.actions import Actor
from orgs.models import Organization, User
from orgs.templatetags import ui

HOSTILE = '"><script>alert(1)</script>'
TEMPLATES = sorted(Path(settings.BASE_DIR, "templates").rglob("*.html"))


@login_not_required
def break_down(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret in an exception: sk-canary")


urlpatterns = [path("broken/", break_down)]


@pytest.fixture
def alices(acme: Organization, alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def directives(answer: HttpResponse) -> dict[str, str]:
    policy = answer["Content-Security-Policy"]
    return dict(directive.strip().partition(" ")[::2] for directive in policy.split(";"))


# Headers


@pytest.mark.parametrize("address", ["/signin/", "/orgs/", "/account/", "/o/acme/", "/o/nowhere/", "/o/acme/nowhere/", "/staff/"])
def test_every_page_is_under_a_strict_policy_and_kept_nowhere(address: str, alices: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    answer = alices.get(address)
    found = directives(answer)
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "data:" not in answer["Content-Security-Policy"]
    nothing = ("default-src", "object-src", "base-uri", "frame-ancestors")
    assert [found[name] for name in nothing] == ["'none'"] * 4
    assert found["script-src"] == found["style-src"] == found["form-action"] == "'self'"
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


def test_a_crash_is_under_the_policy_too_and_tells_nothing(settings: Any, db: None) -> None:
    settings.ROOT_URLCONF = __name__
    answer = Client(raise_request_exception=False).get("/broken/")
    assert answer.status_code == 500
    assert "no-store" in answer["Cache-Control"]
    assert directives(answer)["default-src"] == "'none'"
    assert b"canary" not in answer.content


@pytest.mark.parametrize("page", ["/o/acme/", "/api/v1/provider-keys"])
def test_a_database_that_does_not_answer_is_said_to_be_that(page: str, acme: Organization, alice: User, alices: Client) -> None:
    _, secret = issue_management_key(organization=acme, name="Program", by=Actor(label="Alice", user=alice))
    alices.raise_request_exception = False

    def fail(*args: object) -> None:
        raise OperationalError("The server at 10.0.0.7 is gone.")

    with connection.execute_wrapper(fail):
        answer = alices.get(page, headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert "The database does not answer" in answer.text
    assert "10.0.0.7" not in answer.text


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [
        (bad_request, 400, "We could not read that"),
        (permission_denied, 403, "This is not for you"),
        (page_not_found, 404, "Nothing is here"),
        (server_error, 500, "Something broke on our side"),
    ],
)
def test_errors_wear_the_look_of_the_house(view: Callable[..., HttpResponse], status: int, words: str) -> None:
    request = RequestFactory().get("/<b>somewhere</b>")
    request.user = User(is_active=False)
    request.session = {}  # type: ignore[assignment]
    answer = view(request) if view is server_error else view(request, exception=Exception(HOSTILE))
    page = answer.content.decode()
    assert answer.status_code == status
    assert f"<title>{words} · Keyhold</title>" in page
    assert "somewhere" not in page
    assert "<script>alert" not in page


def test_a_form_from_before_the_sign_in_is_refused_in_plain_words(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert b"This form is too old" in answer.content


def test_an_htmx_request_without_a_session_moves_the_window_to_the_sign_in_page(client: Client) -> None:
    headers = {"hx-request": "true", "hx-current-url": "http://testserver/o/acme/providers/?q=x"}
    answer = client.get("/o/acme/providers/", headers=headers)
    assert answer.status_code == 200
    assert answer["HX-Redirect"] == "/signin/?next=/o/acme/providers/%3Fq%3Dx"
    assert answer.content == b""


def test_no_template_has_an_inline_style_or_script() -> None:
    data = re.compile(r"<script(?! src=)(?![^>]*type=\"application/json\")|\sstyle=|\son\w+=|hx-on|javascript:|<style")
    found = {str(path): data.findall(path.read_text()) for path in TEMPLATES}
    assert {name: marks for name, marks in found.items() if marks} == {}


# The page around every page


def test_the_navigation_shows_what_the_role_may_see(alices: Client, bob: User, client_of: Callable[[User], Client]) -> None:
    owner, member = alices.get("/o/acme/usage/").content.decode(), client_of(bob).get("/o/acme/usage/").content.decode()
    for link in ("/o/acme/", "/o/acme/providers/", "/o/acme/usage/"):
        assert f'href="{link}"' in owner
        assert f'href="{link}"' in member
    assert 'href="/o/acme/client-keys/"' in owner
    assert 'href="/o/acme/client-keys/"' not in member


def test_the_page_one_is_on_is_marked(alices: Client) -> None:
    assert 'href="/o/acme/usage/" aria-current="page"' in alices.get("/o/acme/usage/").content.decode()
    assert 'href="/account/security/" aria-current="page"' in alices.get("/account/security/").content.decode()


def test_the_switcher_lists_only_ones_own_organizations(alices: Client, globex: Organization) -> None:
    page = alices.get("/o/acme/usage/").content.decode()
    assert 'href="/o/acme/" aria-current="true"' in page
    assert "Globex" not in page


def test_the_theme_is_kept_in_a_cookie_and_drawn_by_the_server(alices: Client) -> None:
    assert "data-theme" not in alices.get("/orgs/").content.decode()
    assert alices.post("/theme/", {"theme": "dark", "next": "/orgs/"})["Location"] == "/orgs/"
    assert '<html lang="en" data-theme="dark">' in alices.get("/orgs/").content.decode()
    alices.post("/theme/", {"theme": ""})
    assert "data-theme" not in alices.get("/orgs/").content.decode()


@pytest.mark.parametrize("theme", ["neon", HOSTILE])
def test_no_other_theme_gets_into_the_page(theme: str, alices: Client) -> None:
    alices.cookies["theme"] = "neon"
    alices.post("/theme/", {"theme": theme, "next": "//evil.example/"})
    assert "data-theme" not in alices.get("/orgs/").content.decode()


def test_the_theme_form_leads_nowhere_else(alices: Client) -> None:
    assert alices.post("/theme/", {"theme": "dark", "next": "https://evil.example/"})["Location"] == "/"


def test_a_finished_success_is_a_toast_and_an_error_is_not() -> None:
    def shown(level: int) -> str:
        message = SimpleNamespace(level_tag=constants.DEFAULT_TAGS[level], __str__=None)
        return Template('{% include "_messages.html" with toast=True %}').render(Context({"messages": [message]}))

    assert 'class="toast"' in shown(constants.SUCCESS)
    assert 'class="notice bad"' in shown(constants.ERROR)


# The marks of the interface


def test_the_marks_escape_what_they_are_given() -> None:
    provider = SimpleNamespace(slug=HOSTILE, mark=HOSTILE)
    marks = [
        ui.icon(HOSTILE, HOSTILE),
        ui.tile(provider, HOSTILE),
        ui.status(HOSTILE, label=HOSTILE),
        ui.spark([1, 2], HOSTILE, HOSTILE),
        ui.meter(50, HOSTILE),
        ui.strip("ox", HOSTILE),
    ]
    assert all("<script>" not in mark for mark in marks)


def test_a_stacked_column_is_as_high_as_its_share_of_the_top() -> None:
    svg = ui.bars([("Monday", [30, 0, 20]), ("Tuesday", [0, 0, 0])], 100)
    assert re.findall(r'class="s(\d)".*?y="([\d.]+)".*?height="([\d.]+)"', svg) == [
        ("1", "70.00", "29.45"),
        ("3", "50.00", "19.45"),
    ]
    assert svg.count('class="day"') == 2  # one without requests is still one


@pytest.mark.parametrize("empty", [ui.bars([], 0), ui.bars([("Monday", [0])], 0), ui.spark([0, 0], "No requests")])
def test_a_chart_of_nothing_is_drawn(empty: str) -> None:
    assert empty.startswith("<svg")


@pytest.mark.parametrize(("percent", "level"), [(79, "v "), (80, "v hi"), (100, "v full"), (140, "v full")])
def test_a_meter_warns_from_80_and_stops_at_100(percent: float, level: str) -> None:
    svg = ui.meter(percent, "$40 of $50")
    assert f'class="{level}"' in svg
    assert f'width="{min(percent, 100):.2f}"' in svg


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18 like Mac OS X) Version/18 Safari/604.1", "Safari on iPhone"),
        ("curl/8", "A program"),
    ],
)
def test_a_browser_is_named_in_a_few_words(user_agent: str, words: str) -> None:
    assert ui.browser(user_agent) == words


def test_a_refused_field_is_tied_to_its_message() -> None:
    class NameForm(Form):
        name = CharField(label="Name", help_text="Shown to your team.", error_messages={"required": "Enter a name."})

    page = str(NameForm({}))
    assert 'aria-invalid="true"' in page
    described = re.search(r'aria-describedby="([^"]+)"', page)[1]
    assert all(f'id="{name}"' in page for name in described.split())
    assert "Enter a name." in page
