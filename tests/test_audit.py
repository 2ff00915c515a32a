"""`manage.py audit verify` names what was done to an audit log behind Keyhold's back; heads are written down every day."""

import hashlib
import json
import logging
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from keys.tasks import tick
from orgs.actions import Actor, record
from orgs.audit.heads import path, read_heads, write_heads
from orgs.models import AuditEvent, AuditHead, Organization
from tests.tampering import behind_the_trigger

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def log(acme: Organization) -> Organization:
    """Acme, with ten events."""
    with_events(acme, 9)
    return acme


def with_events(organization: Organization, count: int) -> None:
    for number in range(count):
        record(organization=organization, by=BY, tag="organization:set", target=organization, changes={"number": number})


def verify(*options: str) -> list[str]:
    """What it prints; all of it, whether it finds something or not."""
    out = StringIO()
    try:
        call_command("audit", "verify", *options, stdout=out)
    except CommandError as refusal:
        return [*out.getvalue().splitlines(), str(refusal)]
    return out.getvalue().splitlines()


def events(organization: Organization, *numbers: int) -> Any:
    return AuditEvent.objects.filter(organization=organization, number__in=numbers)


def test_a_whole_log_is_said_to_be_whole(log: Organization, globex: Organization) -> None:
    assert verify() == ["acme: 10 events, all as they were written.", "globex: 1 events, all as they were written."]
    assert verify("--org", "globex") == ["globex: 1 events, all as they were written."]
    with pytest.raises(CommandError, match="no organization with the slug “nowhere”"):
        call_command("audit", "verify", "--org", "nowhere")


CHANGED: dict[str, dict[str, Any]] = {
    "who": {"actor_label": "Somebody else"},
    "whose account": {"actor_id": 99},
    "from where": {"address": "192.0.2.1"},
    "what": {"tag": "organization:pause"},
    "to what": {"target_id": "x"},
    "to what by name": {"target_label": "Globex"},
    "how": {"changes": {"number": 99}},
    "when": {"at": F("at") + timedelta(seconds=1)},
    "signed": {"mac": b"x" * 32},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_event_is_named_and_no_other(changed: dict[str, Any], log: Organization) -> None:
    with behind_the_trigger():
        events(log, 5).update(**changed)
    assert verify() == ["acme: Event 5 was changed.", "Problems: 1."]


def test_deleted_events_are_named(log: Organization) -> None:
    with behind_the_trigger():
        events(log, 1, 4, 5).delete()
    assert verify() == ["acme: Event 1 is missing.", "acme: Events 4 to 5 are missing.", "Problems: 2."]


def test_a_gap_that_was_closed_is_found(log: Organization) -> None:
    with behind_the_trigger():
        events(log, 4).delete()
        for number in range(5, 11):
            events(log, number).update(number=number - 1)
        AuditHead.objects.filter(organization=log).update(number=9)
    assert verify()[:2] == ["acme: Event 4 was changed.", "acme: Event 5 was moved there: it was written as event 6."]


def test_events_that_changed_places_are_named(log: Organization) -> None:
    with behind_the_trigger():
        for number, place in ((3, 99), (7, 3), (99, 7)):
            events(log, number).update(number=place)
    assert verify() == [
        "acme: Event 3 was moved there: it was written as event 7.",
        "acme: Event 7 was moved there: it was written as event 3.",
        "Problems: 2.",
    ]


def test_what_somebody_put_in_is_found(log: Organization) -> None:
    with behind_the_trigger():
        AuditEvent.objects.create(organization=log, number=11, mac=b"x" * 32, actor_label="Alice", tag="organization:set")
        AuditHead.objects.filter(organization=log).update(number=11, mac=b"x" * 32)
    assert verify() == ["acme: Event 11 was changed.", "Problems: 1."]


def test_events_of_another_organization_do_not_fit(log: Organization, globex: Organization) -> None:
    with behind_the_trigger():
        AuditEvent.objects.filter(organization=globex).update(organization=log, number=11)
        AuditHead.objects.filter(organization=log).update(number=11, mac=F("mac"))
    assert "acme: Event 11 was changed." in verify("--org", "acme")


def test_a_log_that_was_cut_off_is_found_by_its_head(log: Organization) -> None:
    with behind_the_trigger():
        events(log, 9, 10).delete()
    assert verify() == ["acme: The log ends with event 8, and its head stands at event 10.", "Problems: 1."]


def test_a_missing_head_and_one_of_another_event_are_found(log: Organization, globex: Organization) -> None:
    AuditHead.objects.filter(organization=log).delete()
    AuditHead.objects.filter(organization=globex).update(mac=b"x" * 32)
    assert verify() == [
        "acme: The head is missing.",
        "globex: The head does not belong to event 1, at which it stands.",
        "Problems: 2.",
    ]


def cut_off(organization: Organization, last: int) -> None:
    """As thoroughly as somebody can who writes to the database and has no key."""
    with behind_the_trigger():
        AuditEvent.objects.filter(organization=organization, number__gt=last).delete()
        AuditHead.objects.filter(organization=organization).update(number=last, mac=events(organization, last).get().mac)


def test_a_log_that_was_cut_off_with_its_head_is_found_by_what_was_written_down(log: Organization) -> None:
    write_heads(NOW)
    cut_off(log, 8)
    assert verify() == [
        "acme: The log ends with event 8, and had 10 events on 2026-11-23T12:00:00+00:00: the rest was cut off.",
        "Problems: 1.",
    ]
    path().unlink()
    assert verify() == ["acme: 8 events, all as they were written."]


def test_a_log_that_was_cut_off_and_grew_again_is_found(log: Organization) -> None:
    write_heads(NOW)
    cut_off(log, 8)
    with_events(log, 5)
    assert verify() == [
        "acme: Event 10 is not the one that was written down on 2026-11-23T12:00:00+00:00.",
        "Problems: 1.",
    ]


def age(days: int) -> None:
    """As if the file had been written that long before NOW."""
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path(), (at, at))


def test_heads_are_written_once_a_day_and_only_those_that_moved(log: Organization, globex: Organization) -> None:
    write_heads(NOW)
    age(0)
    write_heads(NOW)
    assert [set(json.loads(line)["heads"]) for line in path().read_text().splitlines()] == [{str(log.pk), str(globex.pk)}]
    age(1)
    with_events(log, 2)
    write_heads(NOW)
    assert [each.number for each in read_heads()[0][log.pk]] == [10, 12]
    assert [each.number for each in read_heads()[0][globex.pk]] == [1]
    age(1)
    write_heads(NOW)
    assert json.loads(path().read_text().splitlines()[-1])["heads"] == {}
    assert verify()[0] == "acme: 12 events, all as they were written."


def test_a_tick_writes_the_heads(log: Organization) -> None:
    tick.call()
    assert log.pk in read_heads()[0]


def test_a_line_that_cannot_be_read_is_named_and_stops_nothing(log: Organization) -> None:
    path().write_text('{"at": "2026-11-20", "heads": {"x": 1}}\n')
    age(1)
    write_heads(NOW)
    assert [each.number for each in read_heads()[0][log.pk]] == [10]
    assert verify() == [
        "acme: 10 events, all as they were written.",
        "audit-heads.jsonl: line 1 cannot be read.",
        "Problems: 1.",
    ]


def test_what_is_known_of_an_organization_that_was_deleted_is_no_problem(log: Organization, globex: Organization) -> None:
    write_heads(NOW)
    log.delete()
    assert verify() == ["globex: 1 events, all as they were written."]


def test_the_digest_of_each_line_is_logged(log: Organization, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(logging.getLogger("orgs.audit.heads"), "propagate", True)  # to where caplog listens
    write_heads(NOW)
    [line] = path().read_text().splitlines()
    assert hashlib.sha256(line.encode()).hexdigest() in caplog.text
