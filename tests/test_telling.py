"""Owners hear that a key fails and that it works again, once each, and never about what passes by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keys import actions
from keys.models import ProviderKey
from keys.telling import tell_owners
from orgs.actions import Actor
from orgs.models import Notice, Organization
from tests.attempts import make_keys

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
REFUSED = {"status": "failing", "error_class": "refused", "status_since": NOW, "needs_test": False, "trips": 1}
TROUBLE = REFUSED | {"error_class": "trouble"}
WELL = {"status": "healthy", "error_class": "", "status_reason": "", "status_since": NOW}


def key_of(organization: Organization, name: str = "Main", **fields: Any) -> ProviderKey:
    return make_keys(organization, name, **fields).provider


def put(key: ProviderKey, **fields: Any) -> None:
    ProviderKey.objects.filter(pk=key.pk).update(**fields)


def subjects() -> list[str]:
    return list(Notice.objects.order_by("created_at").values_list("subject", flat=True))


def later(**times: float) -> datetime:
    return NOW + timedelta(**times)


def test_owners_hear_once_that_a_key_fails_and_once_that_it_works_again(acme: Organization) -> None:
    key = key_of(acme, **REFUSED)
    assert [tell_owners(NOW), tell_owners(NOW), tell_owners(later(hours=9))] == [1, 0, 0]
    key.refresh_from_db()
    assert key.told_failing_at == NOW
    put(key, **WELL)
    assert [tell_owners(NOW), tell_owners(later(hours=9))] == [1, 0]
    put(key, **REFUSED)
    assert tell_owners(NOW) == 1
    assert subjects() == ["OpenAI Main is failing", "OpenAI Main works again", "OpenAI Main is failing"]
    notice = Notice.objects.earliest("created_at")
    assert (notice.tag, notice.target_id, notice.path) == ("provider_key:failing", str(key.pk), f"/o/acme/providers/{key.pk}/")
    assert notice.due_at


def test_it_says_since_when_what_the_provider_said_and_who_takes_over(acme: Organization) -> None:
    said = {"status": 401, "code": "invalid_api_key", "message": "Incorrect API key provided", "at": NOW.isoformat()}
    reason = "OpenAI says this credential is not valid. Replace it, or test it again."
    key_of(acme, **REFUSED, status_reason=reason, last_error=said)
    for name, fields in {"Off": {"enabled": False}, "New": {}, "Other": {"provider": "groq"}, "Spare": {}}.items():
        key_of(acme, name, **{"needs_test": name == "New", "status": "healthy"} | fields)
    tell_owners(NOW)
    assert Notice.objects.get().body.split("\n\n") == [
        "The OpenAI key “Main” of Acme has been failing since 23 November 2026, 12:30 UTC. It gets no requests.",
        reason,
        "OpenAI answered 401: “Incorrect API key provided”",
        "Requests go to “Spare” in the meantime.",
    ]


def test_an_answer_from_an_earlier_failure_is_not_quoted_and_no_stand_in_is_promised(acme: Organization) -> None:
    said = {"status": 500, "code": "", "message": "Old news", "at": later(days=-1).isoformat()}
    key_of(acme, **REFUSED, last_error=said)
    key_of(acme, "Other", **REFUSED)
    tell_owners(NOW)
    for notice in Notice.objects.all():
        assert "Old news" not in notice.body
        assert "No other OpenAI key can take over." in notice.body


def test_trouble_is_told_only_when_it_has_lasted_two_minutes(acme: Organization) -> None:
    key_of(acme, **TROUBLE)
    assert [tell_owners(later(seconds=119)), tell_owners(later(seconds=120))] == [0, 1]


def test_trouble_that_passes_leaves_no_trace(acme: Organization) -> None:
    key = key_of(acme, **TROUBLE)
    tell_owners(later(seconds=60))
    put(key, **WELL)
    tell_owners(later(seconds=600))
    assert not subjects()


def test_a_key_that_falls_out_again_and_again_must_be_well_for_a_while(acme: Organization) -> None:
    key = key_of(acme, **REFUSED | {"trips": 3})
    tell_owners(NOW)
    for minute in (10, 20, 30):
        put(key, **WELL | {"status_since": later(minutes=minute)})
        assert tell_owners(later(minutes=minute + 1)) == 0
        put(key, **REFUSED | {"trips": 3, "status_since": later(minutes=minute + 2)})
        assert tell_owners(later(minutes=minute + 3)) == 0
    put(key, **WELL | {"status_since": later(minutes=40)})
    assert tell_owners(later(minutes=45)) == 1
    assert subjects() == ["OpenAI Main is failing", "OpenAI Main works again"]


@pytest.mark.parametrize("fields", [{"enabled": False}, {"removed_at": NOW}, {"status": "limited"}, {"status": "untested"}])
def test_nobody_hears_of_keys_that_are_off_gone_limited_or_new(acme: Organization, fields: dict[str, Any]) -> None:
    key_of(acme, **REFUSED | fields)
    assert tell_owners(later(hours=1)) == 0
    assert not subjects()


def test_a_key_that_was_turned_off_meanwhile_is_forgotten_in_silence(acme: Organization) -> None:
    key = key_of(acme, **REFUSED)
    tell_owners(NOW)
    actions.disable_key(key=key, by=Actor.command("tests"))
    put(key, **WELL)
    tell_owners(NOW)
    key.refresh_from_db()
    assert key.told_failing_at is None
    assert subjects() == ["OpenAI Main is failing"]


def test_a_very_long_name_fits_the_subject(acme: Organization) -> None:
    key_of(acme, "n" * 60, **REFUSED)
    tell_owners(NOW)
    assert len(subjects()[0]) < 200


def test_looking_takes_as_many_queries_for_many_healthy_keys_as_for_none(
    acme: Organization, django_assert_num_queries: Any
) -> None:
    for number in range(30):
        key_of(acme, f"Key {number}", **WELL)
    with django_assert_num_queries(2):
        tell_owners(NOW)
