"""What owners decide about their organization, one card at a time."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from orgs.actions import Actor, set_organization
from orgs.forms.organizations import time_zones
from orgs.models import AuditEvent, Organization, User
from usage.periods import zone

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/settings/"
GENERAL = {"do": "general", "name": "Acme Labs", "timezone": "America/New_York"}
type SignIn = Callable[[User], Client]


@pytest.fixture
def alices(client_of: SignIn, alice: User, acme: Organization) -> Client:
    return client_of(alice)


def told(organization: Organization) -> list[tuple[Any, Any]]:
    events = AuditEvent.objects.filter(organization=organization, tag="organization:set").order_by("pk")
    return [(event.changes["before"], event.changes["after"]) for event in events]


def now(organization: Organization) -> tuple[str, str, bool, bool]:
    found = Organization.objects.get(pk=organization.pk)
    return found.name, found.timezone, found.members_issue_keys, found.members_see_all


def test_an_owner_changes_name_and_time_zone(alices: Client, acme: Organization) -> None:
    version = acme.routing_version
    assert alices.post(PAGE, GENERAL).headers["Location"] == PAGE
    assert now(acme) == ("Acme Labs", "America/New_York", False, False)
    assert told(acme) == [({"name": "Acme", "timezone": "UTC"}, {"name": "Acme Labs", "timezone": "America/New_York"})]
    assert Organization.objects.get(pk=acme.pk).routing_version == version + 1
    page = alices.get(PAGE).text
    assert "Your settings are saved." in page
    assert '<option value="America/New_York" selected>America/New York</option>' in page


def test_an_owner_decides_what_members_may(alices: Client, acme: Organization) -> None:
    alices.post(PAGE, {"do": "members", "members_issue_keys": "on"})
    assert now(acme) == ("Acme", "UTC", True, False)
    alices.post(PAGE, {"do": "members", "members_see_all": "on"})
    assert now(acme) == ("Acme", "UTC", False, True)
    assert told(acme)[0] == ({"members_issue_keys": False}, {"members_issue_keys": True})
    checked = re.findall(r'<input type="checkbox" name="(\w+)"[^>]*checked', alices.get(PAGE).text)
    assert checked == ["members_see_all"]


def test_a_card_saves_only_itself(alices: Client, acme: Organization) -> None:
    alices.post(PAGE, {"do": "members", "members_see_all": "on"})
    alices.post(PAGE, GENERAL | {"members_issue_keys": "on"})
    assert now(acme) == ("Acme Labs", "America/New_York", False, True)


def test_nothing_is_written_or_told_where_nothing_changes(acme: Organization) -> None:
    set_organization(organization=acme, by=Actor.command("test"), name="Acme", members_see_all=False)
    assert told(acme) == []
    assert Organization.objects.get(pk=acme.pk).routing_version == acme.routing_version


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": ""}, "Enter a name, for example Acme."),
        ({"name": "Acmе"}, "Use the letters of one alphabet in this name."),
        ({"timezone": ""}, "Choose a time zone."),
        ({"timezone": "Mars/Olympus_Mons"}, "Choose a time zone from the list."),
        ({"timezone": "../../etc/passwd"}, "Choose a time zone from the list."),
    ],
)
def test_a_mistake_is_explained_and_what_was_typed_stays(
    alices: Client, acme: Organization, sent: dict[str, str], words: str
) -> None:
    answer = alices.post(PAGE, {**GENERAL, "name": "Typed", **sent})
    assert answer.status_code == 422
    assert words in answer.text
    assert "<title>Error: Settings · Acme · " in answer.text
    assert ('value="Typed"' in answer.text) == ("name" not in sent)
    assert now(acme) == ("Acme", "UTC", False, False)


@pytest.mark.parametrize("do", ["", "nonsense"])
def test_a_form_that_says_nothing_changes_nothing(alices: Client, acme: Organization, do: str) -> None:
    Organization.objects.update(members_see_all=True)
    assert alices.post(PAGE, {"do": do}).status_code == 422
    assert now(acme) == ("Acme", "UTC", False, True)


def test_every_time_zone_that_is_offered_is_known_and_fits() -> None:
    offered = dict(time_zones())
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"} <= offered.keys()
    assert all(zone(name).key == name and len(name) <= 40 for name in offered)


def test_a_time_zone_that_is_not_offered_stays_until_another_is_chosen(alices: Client, acme: Organization) -> None:
    Organization.objects.update(timezone="Japan")
    assert '<option value="Japan" selected>Japan</option>' in alices.get(PAGE).text
    alices.post(PAGE, GENERAL | {"timezone": "Japan"})
    assert now(acme)[:2] == ("Acme Labs", "Japan")


def test_only_owners_are_led_there(alices: Client, client_of: SignIn, bob: User) -> None:
    assert PAGE in alices.get("/o/acme/").text
    bobs = client_of(bob)
    assert PAGE not in bobs.get("/o/acme/").text
    assert bobs.post(PAGE, GENERAL).status_code == 403


def test_the_page_takes_few_queries(alices: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    alices.get(PAGE)
    with django_assert_num_queries(9):
        alices.get(PAGE)
