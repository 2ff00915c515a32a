"""Members see totals and their own: what Alice did is nowhere to be found by Bob, unless owners decide otherwise."""

import csv
import io
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from keys.models import ClientKey
from orgs.models import Organization, User
from tests.attempts import NOON, attempt, id_given, make_keys
from usage.ingest import book

pytestmark = [pytest.mark.django_db, pytest.mark.large]
USAGE, CSV, FOCUS = "/o/acme/usage/", "/o/acme/usage.csv", "/o/acme/usage-focus.csv"
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def world(acme: Organization, alice: User, bob: User) -> SimpleNamespace:
    """Alice made three requests with "Secret project", Bob two with "Prototype", and "Old script" belongs to nobody."""
    hers, his, old = owned(acme, "Secret project", alice), owned(acme, "Prototype", bob), owned(acme, "Old script", None)
    her_request, his_request = id_given(NOON), id_given(NOON)
    facts: dict[str, Any] = {"input_tokens": 1_000_000, "output_tokens": 0}
    book(
        [
            *(attempt(acme, client=hers, member_id=alice.pk, request_id=str(her_request), number=n, **facts) for n in (1, 2, 3)),
            *(attempt(acme, client=his, member_id=bob.pk, request_id=str(his_request), number=n, **facts) for n in (1, 2)),
            attempt(acme, client=old, **facts),
        ]
    )
    return SimpleNamespace(hers=hers, his=his, old=old, alice=alice.pk, her_request=her_request, his_request=his_request)


def owned(organization: Organization, name: str, owner: User | None) -> UUID:
    key = make_keys(organization, name).client
    ClientKey.objects.filter(pk=key.pk).update(owner=owner)
    return key.pk


@pytest.fixture
def member(bob: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(bob)


@pytest.fixture
def owner(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


def body_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    body = (b"".join(response.streaming_content) if response.streaming else response.content).decode()
    return re.sub(r"[A-Za-z0-9]{64}", "token", body)


def text_of(client: Client, url: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", body_of(client, url)).split())


def rows_of(client: Client, url: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body_of(client, url), newline="")))


def everything() -> list[str]:
    """Every address that a person without further knowledge is led to."""
    bys = ("provider", "key", "model", "client", "member")
    queries = [f"by={by}&range={span}&m={m}" for by in bys for span in ("24h", "30d") for m in ("requests", "cost")]
    queries += [f"result={result}" for result in ("ok", "failed", "cancelled", "rescued")]
    reports = [f"{url}?{query}" for url in (USAGE, CSV) for query in queries]
    return [*reports, FOCUS, f"{FOCUS}?range=24h", "/o/acme/", "/o/acme/requests/"]


def test_nothing_that_a_member_is_led_to_names_another(member: Client, world: SimpleNamespace) -> None:
    told = {str(world.hers), str(world.old), str(world.her_request), "Secret project client", "Old script client", "Alice"}
    ClientKey.objects.filter(pk=world.hers).update(name="Secret project client")
    ClientKey.objects.filter(pk=world.old).update(name="Old script client")
    for url in everything():
        body = body_of(member, url)
        assert not [word for word in told if word in body], url


def test_the_same_addresses_tell_an_owner(owner: Client, world: SimpleNamespace) -> None:
    whole = "".join(body_of(owner, url) for url in everything())
    for word in (world.hers, world.old, world.his, world.her_request, world.his_request, "Alice", "Bob"):
        assert str(word) in whole


def test_members_see_totals_and_their_own(member: Client, world: SimpleNamespace) -> None:
    page = text_of(member, f"{USAGE}?by=client")
    assert "Requests 6 " in page
    assert "Other people’s keys 4 66.7%" in page
    assert "Prototype 2 33.3%" in page
    people = text_of(member, f"{USAGE}?by=member")
    assert "Other people 4 66.7%" in people
    assert "Bob 2 33.3%" in people
    assert "Requests 2 " in text_of(member, f"{USAGE}?client={world.his}")


def test_members_get_the_same_in_csv(member: Client, world: SimpleNamespace) -> None:
    exported = {row["client_key"]: (row["client_key_id"], row["requests"]) for row in rows_of(member, f"{CSV}?by=client")}
    assert exported == {"Other people’s keys": ("", "4"), "Prototype": (str(world.his), "2")}
    costs = {row["SubAccountName"]: row for row in rows_of(member, FOCUS)}
    assert set(costs) == {"Other people’s keys", "Prototype"}
    assert costs["Other people’s keys"]["SubAccountId"] == ""
    assert "person" not in json.loads(costs["Other people’s keys"]["Tags"])
    assert sum(float(row["BilledCost"]) for row in costs.values()) == 15.0


@pytest.mark.parametrize("url", [USAGE, CSV, FOCUS])
@pytest.mark.parametrize("what", ["client", "member", "both"])
@pytest.mark.parametrize("more", ["", "&by=client", "&by=member&m=cost", "&range=24h", "&result=ok", "&model=openai/gpt-4o"])
def test_what_is_anothers_answers_like_what_does_not_exist(
    member: Client, world: SimpleNamespace, url: str, what: str, more: str
) -> None:
    def answer(client: UUID, person: int) -> str:
        wanted = {"client": f"client={client}", "member": f"member={person}", "both": f"client={client}&member={person}"}[what]
        body = body_of(member, f"{url}?{wanted}{more}").replace(str(client), "?")
        return re.sub(rf'member={person}\b|(?<=name="member" value="){person}(?=")', "?", body)

    assert answer(world.hers, world.alice) == answer(uuid4(), 987_654_321)


def test_a_mixture_of_ones_own_and_anothers_matches_nothing(member: Client, world: SimpleNamespace, bob: User) -> None:
    for query in (f"client={world.hers}&member={bob.pk}", f"client={world.his}&member={world.alice}", "member=0", "member=-1"):
        assert "No request matches these filters" in text_of(member, f"{USAGE}?{query}")
        assert rows_of(member, f"{CSV}?{query}") == []


def test_the_database_does_the_same_work_for_anothers_and_for_none(member: Client, world: SimpleNamespace) -> None:
    """So that the time a page takes tells nothing: the statements are the same but for what was asked."""

    def work(url: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert member.get(url).status_code in (200, 404)
        return [shape(each["sql"]) for each in captured.captured_queries if "usage_" in each["sql"]]

    for pattern, real, none in (
        (f"{USAGE}?client={{}}", world.hers, uuid4()),
        (f"{USAGE}?by=client&client={{}}", world.hers, uuid4()),
        (f"{USAGE}?member={{}}", world.alice, 987_654_321),
        ("/o/acme/requests/{}/", world.her_request, id_given(NOON)),
        ("/o/acme/requests/?id={}", world.her_request, id_given(NOON)),
    ):
        done = work(pattern.format(real))
        assert done
        assert done == work(pattern.format(none))


def shape(sql: str) -> str:
    return re.sub(r"'[^']*'|\b\d+\b", "?", sql)


def test_requests_of_others_are_not_listed_and_not_found(member: Client, world: SimpleNamespace) -> None:
    page = body_of(member, USAGE)
    assert page.count("/o/acme/requests/01") == page.count(f"/o/acme/requests/{world.his_request}/") == 2
    assert "Your latest requests" in page
    theirs, none = (member.get(f"/o/acme/requests/{id}/") for id in (world.her_request, id_given(NOON)))
    assert (theirs.status_code, theirs.content) == (none.status_code, none.content)
    assert theirs.status_code == 404
    found = [text_of(member, f"/o/acme/requests/?id={id}").replace(str(id), "?") for id in (world.her_request, id_given(NOON))]
    assert found[0] == found[1]


def test_owners_may_let_members_see_all(member: Client, acme: Organization, world: SimpleNamespace) -> None:
    Organization.objects.filter(pk=acme.pk).update(members_see_all=True)
    assert "Secret project" in text_of(member, f"{USAGE}?by=client")
    assert "Alice 3 50%" in text_of(member, f"{USAGE}?by=member")
    assert "Requests 3 " in text_of(member, f"{USAGE}?client={world.hers}")
    assert member.get(f"/o/acme/requests/{world.her_request}/").status_code == 200
    assert {row["person"] for row in rows_of(member, f"{CSV}?by=member")} == {"Alice", "Bob", "Nobody’s"}


def test_a_key_that_was_handed_over_does_not_tell_who_had_it_before(member: Client, bob: User, world: SimpleNamespace) -> None:
    ClientKey.objects.filter(pk=world.hers).update(owner=bob)
    assert "No request matches these filters" in text_of(member, f"{USAGE}?client={world.hers}")
    ClientKey.objects.filter(pk=world.his).update(owner=world.alice, name="Renamed since")
    page = text_of(member, f"{USAGE}?by=client")
    assert "Former key 2 33.3%" in page
    assert "Renamed since" not in page


@pytest.mark.parametrize("page", ["/o/acme/client-keys/{}/", "/o/acme/client-keys/{}/pause/"])
def test_its_pages_count_for_a_member_what_is_theirs(
    member: Client, owner: Client, acme: Organization, bob: User, world: SimpleNamespace, page: str
) -> None:
    ClientKey.objects.filter(pk=world.hers).update(owner=bob)
    Organization.objects.filter(pk=acme.pk).update(members_issue_keys=True)
    assert "3 requests" in text_of(owner, page.format(world.hers))
    if "pause" not in page:
        assert "Last 7 days 0 requests" in text_of(member, page.format(world.hers))
        assert "Last 7 days 2 requests" in text_of(member, page.format(world.his))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_no_page_of_requests_is_too_early_for_any_time_zone(member: Client, acme: Organization, zone: str) -> None:
    Organization.objects.filter(pk=acme.pk).update(timezone=zone)
    assert member.get(USAGE, {"before": f"0001-01-01T00:00:00+00:00~{uuid4()}"}).status_code == 200


@pytest.mark.parametrize("url", [USAGE, CSV, FOCUS])
def test_support_and_outsiders_find_no_usage(
    client_of: SignIn, sam: User, charlie: User, world: SimpleNamespace, url: str
) -> None:
    assert {client_of(person).get(url).status_code for person in (sam, charlie)} == {404}
