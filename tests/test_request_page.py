"""The page of one request: what was tried, what was skipped and why, and who may see it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from orgs.models import Organization, User
from tests.attempts import NOON, attempt, id_given, make_keys
from usage.ingest import book
from usage.journal import NO_KEY, Finished, Skipped
from usage.models import UsageEvent
from usage.requests import begun_at, find

pytestmark = pytest.mark.django_db
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def owner(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


def page_of(request_id: object) -> str:
    return f"/o/acme/requests/{request_id}/"


def text_of(client: Client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def failed(organization: Organization, request_id: UUID, error_class: str, **facts: Any) -> Finished:
    nothing: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "first_byte_ms": None, "latency_ms": 40}
    facts = {"outcome": "error", "status": 500, **nothing, **facts}
    return attempt(organization, request_id=str(request_id), error_class=error_class, **facts)


def test_the_walk_is_told_from_key_to_key(owner: Client, acme: Organization, alice: User) -> None:
    first, second = make_keys(acme, "Production"), make_keys(acme, "Backup", "groq")
    resting = make_keys(acme, "Resting", "anthropic")
    request_id = id_given(NOON)
    skipped = (Skipped(str(resting.provider.pk), "Resting", "anthropic", "health", "is rate limited until 12:00:30 UTC"),)
    facts: dict[str, Any] = {"client": first.client.pk, "member_id": alice.pk}
    book(
        [
            failed(acme, request_id, "refused", key=first.provider.pk, outcome="absorbed", status=401, skipped=skipped, **facts),
            attempt(
                acme, key=second.provider.pk, request_id=str(request_id), number=2, provider="groq", tier="fallback", **facts
            ),
        ]
    )
    page = text_of(owner, page_of(request_id))
    assert "Request openai/gpt-4o Answered" in page
    assert "OpenAI Production OpenAI refused the credential. 40 ms in all status 401 Failed" in page
    assert "Groq Backup Fallback key. First byte after 300 ms, 1.20 s in all, 100 tokens in and 20 out" in page
    assert "The answer went to the program After 1 failure, which it did not notice." in page
    assert "Anthropic Resting Is rate limited until 12:00:30 UTC" in page
    assert "Begun 23 Nov 2026, 12:00:00 UTC Client key Production Person Alice Answer All at once Attempts 2" in page
    assert f'href="/o/acme/providers/{first.provider.pk}/"' in owner.get(page_of(request_id)).content.decode()


@pytest.mark.parametrize(
    ("error_class", "facts", "told"),
    [
        ("client", {"status": 400}, "OpenAI said that the request itself is wrong."),
        ("limited", {"status": 429}, "OpenAI limited this key."),
        ("out_of_money", {"status": 402}, "OpenAI said that the account has no credit left."),
        ("no_permission", {"status": 403}, "OpenAI does not allow this key to do that."),
        ("misconfigured", {"status": 404}, "OpenAI does not have what this key’s entry names."),
        ("trouble", {"status": 503}, "OpenAI was overloaded or down."),
        ("trouble", {"status": None}, "OpenAI did not answer."),
        ("trouble", {"status": 200, "first_byte_ms": 10}, "OpenAI broke off in the middle of its answer."),
        ("interrupted", {"status": None}, "Keyhold stopped before the end was known."),
        ("new one", {"status": 418}, "40 ms in all status 418 Failed"),
        (
            "trouble",
            {"mark": "probe"},
            "It had been out, and this request tried whether it works again. OpenAI had an error of its own.",
        ),
        ("trouble", {"mark": "last_resort"}, "It was out, but no other key was left. OpenAI had an error of its own."),
    ],
)
def test_each_failure_is_told_in_words(
    owner: Client, acme: Organization, error_class: str, facts: dict[str, Any], told: str
) -> None:
    request_id = id_given(NOON)
    book([failed(acme, request_id, error_class, key=make_keys(acme).provider.pk, **facts)])
    page = text_of(owner, page_of(request_id))
    assert f"OpenAI Production {told}" in page
    assert "The error went to the program" in page


def test_a_request_that_was_refused_shows_every_reason(owner: Client, acme: Organization) -> None:
    key = make_keys(acme)
    request_id = str(id_given(NOON))
    skipped = (Skipped(str(key.provider.pk), "Production", "openai", "restricted", "is limited to other models"),)
    book([refusal(acme, request_id, skipped=skipped)])
    page = text_of(owner, page_of(request_id))
    assert "Request openai/gpt-4o Refused" in page
    assert "Keyhold refused the request With no_working_key . No provider was asked." in page
    assert "OpenAI Production Is limited to other models" in page
    assert "Attempts 0 Tokens 0 in, 0 out Estimated cost $0.00" in page


def refusal(organization: Organization, request_id: str, **facts: Any) -> Finished:
    nothing = dict.fromkeys(("input_tokens", "output_tokens", "number"), 0) | {"latency_ms": None, "first_byte_ms": None}
    none = {"provider": "", "native_model": "", "tier": "", "status": None, "error_class": "no_working_key"}
    return attempt(
        organization, id=request_id, request_id=request_id, key=UUID(NO_KEY), outcome="refused", **nothing, **none, **facts
    )


def test_a_request_that_is_under_way_is_not_called_failed(owner: Client, acme: Organization) -> None:
    request_id = id_given(NOON)
    book([failed(acme, request_id, "trouble", outcome="absorbed")])
    page = text_of(owner, page_of(request_id))
    assert "Under way" in page
    assert "The next attempt is under way" in page


def test_a_program_that_left_is_told(owner: Client, acme: Organization) -> None:
    request_id = id_given(NOON)
    book([attempt(acme, request_id=str(request_id), outcome="cancelled", estimated=True)])
    page = text_of(owner, page_of(request_id))
    assert "The program went away before the answer was whole." in page
    assert "about 100 tokens in and 20 out" in page


def test_what_the_operators_keys_are_called_is_not_told(owner: Client, acme: Organization, globex: Organization) -> None:
    lent = make_keys(globex, "Secret project").provider
    request_id = id_given(NOON)
    skipped = (Skipped(str(lent.pk), "Secret project", "openai", "health", "is rate limited"),)
    book([attempt(acme, key=lent.pk, request_id=str(request_id), tier="platform", skipped=skipped)])
    page = text_of(owner, page_of(request_id))
    assert "Shared OpenAI key First byte" in page
    assert "Secret project" not in page


def test_a_removed_key_keeps_its_name_and_loses_its_link(owner: Client, acme: Organization) -> None:
    key = make_keys(acme, removed_at=NOON).provider
    request_id = id_given(NOON)
    book([attempt(acme, key=key.pk, request_id=str(request_id))])
    assert "OpenAI Production" in text_of(owner, page_of(request_id))
    assert str(key.pk) not in owner.get(page_of(request_id)).content.decode()


def test_members_see_requests_of_their_own_client_keys_only(
    client_of: SignIn, alice: User, bob: User, charlie: User, acme: Organization, globex: Organization
) -> None:
    own, others = id_given(NOON), id_given(NOON)
    book([attempt(acme, request_id=str(own), member_id=bob.pk), attempt(acme, request_id=str(others), member_id=alice.pk)])
    visits = [
        (person, client_of(person).get(page_of(id)).status_code) for person in (alice, bob, charlie) for id in (own, others)
    ]
    assert visits == [(alice, 200), (alice, 200), (bob, 200), (bob, 404), (charlie, 404), (charlie, 404)]
    assert client_of(charlie).get(f"/o/globex/requests/{own}/").status_code == 404


def test_a_request_is_found_by_the_id_that_its_program_got(owner: Client, acme: Organization) -> None:
    request_id = id_given(NOON)
    book([attempt(acme, request_id=str(request_id))])
    for typed in (str(request_id), f"  {request_id}%0A", str(request_id).upper(), request_id.hex):
        response = owner.get(f"/o/acme/requests/?id={typed}")
        assert response.status_code == 302
        assert response["Location"] == page_of(request_id)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "Find a request Every answer"),
        ("nonsense", "This is not a request id"),
        ("%00", "This is not a request id"),
        ("4dade1bc-b83d-4d59-a177-2f5a58bc8c5b", "No request has this id"),
        (str(UUID(int=(2**128 - 1) ^ (8 << 76) ^ (1 << 62))), "No request has this id"),
        ("01a20846-fe00-7262-91f0-0d7241c0b816", "No request has this id"),
        (str(UUID(int=253_402_300_799_000 << 80 | 7 << 76 | 2 << 62)), "No request has this id"),  # the end of the year 9999
    ],
)
def test_what_is_not_found_says_why(owner: Client, acme: Organization, typed: str, told: str) -> None:
    assert told in text_of(owner, f"/o/acme/requests/?id={typed}")


def test_members_are_told_whose_requests_they_see(client_of: SignIn, alice: User, bob: User, acme: Organization) -> None:
    request_id = id_given(NOON)
    book([attempt(acme, request_id=str(request_id), member_id=alice.pk)])
    assert "No request of yours has this id" in text_of(client_of(bob), f"/o/acme/requests/?id={request_id}")


def test_an_id_says_when_it_was_given() -> None:
    assert begun_at(id_given(NOON)) == NOON
    assert begun_at(uuid4()) is None
    assert begun_at(UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62)) is None


def test_attempts_are_found_until_long_after_the_id_was_given(acme: Organization) -> None:
    request_id = id_given(NOON)
    late = NOON + timedelta(minutes=30)
    book(
        [
            attempt(acme, at=late, request_id=str(request_id), number=3),
            attempt(acme, at=NOON - timedelta(seconds=2), request_id=str(request_id)),
            attempt(acme),
        ]
    )
    assert [event.number for event in find(acme, request_id)] == [1, 3]


def test_queries_are_the_same_for_3_and_300_keys(
    owner: Client, acme: Organization, django_assert_num_queries: Callable[..., Any]
) -> None:
    for count in (3, 300):
        names = [f"{count} {number}" for number in range(count)]
        skipped = tuple(
            Skipped(str(make_keys(acme, name).provider.pk), name, "openai", "model", "does not serve it") for name in names
        )
        request_id = id_given(NOON)
        book([attempt(acme, request_id=str(request_id), skipped=skipped)])
        assert len(UsageEvent.objects.get(request_id=request_id).skipped) == min(count, 100)
        with django_assert_num_queries(10):  # 5 of every page, attempts, keys, client key, person, organizations of the switcher
            text_of(owner, page_of(request_id))
