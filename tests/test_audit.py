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
from django.db import connection
from django.db.models import F

from byok_site.deleting import delete_due
from keys.tasks import tick
from orgs.actions import Actor, record
from orgs.audit import check
from orgs.audit.heads import add_line, path, read_heads, write_heads
from orgs.models import AuditEvent, AuditHead, Organization
from tests.tampering import behind_the_trigger

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AT = "2026-11-23T12:00:00+00:00"
CUT_OFF = "The rest was cut off, or is not in the backup that was restored."
GREW_AGAIN = "The log was cut off before it and grew again, as it also does after a restore from a backup."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, time_machine: Any) -> Path:
    settings.DATA_DIR = tmp_path
    time_machine.move_to(NOW, tick=False)
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
        f"acme: The log ends with event 8, and had 10 events on {AT}. {CUT_OFF}",
        "Problems: 1.",
    ]
    path().unlink()
    assert verify() == ["acme: 8 events, all as they were written."]


def test_a_log_that_was_cut_off_and_grew_again_is_found(log: Organization) -> None:
    write_heads(NOW)
    cut_off(log, 8)
    with_events(log, 5)
    assert verify() == [
        f"acme: Event 10 is not the one that was written down on {AT}. {GREW_AGAIN}",
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
    assert [each.number for each in read_heads(path()).heads[log.pk]] == [10, 12]
    assert [each.number for each in read_heads(path()).heads[globex.pk]] == [1]
    age(1)
    write_heads(NOW)
    assert json.loads(path().read_text().splitlines()[-1])["heads"] == {}
    assert verify()[0] == "acme: 12 events, all as they were written."


def test_a_tick_writes_the_heads(log: Organization) -> None:
    tick.call()
    assert log.pk in read_heads(path()).heads


def test_a_line_that_cannot_be_read_is_named_and_stops_nothing(log: Organization) -> None:
    path().write_text('{"at": "2026-11-20", "heads": {"x": 1}}\n')
    age(1)
    write_heads(NOW)
    assert [each.number for each in read_heads(path()).heads[log.pk]] == [10]
    assert verify() == [
        "acme: 10 events, all as they were written.",
        "audit-heads.jsonl: line 1 cannot be read.",
        "Problems: 1.",
    ]


def test_an_organization_that_its_owners_deleted_is_no_problem(log: Organization, globex: Organization) -> None:
    write_heads(NOW)
    Organization.objects.filter(pk=log.pk).update(delete_at=NOW)
    delete_due(NOW)
    assert verify() == ["globex: 1 events, all as they were written."]


def test_an_organization_that_is_gone_otherwise_is_missed(log: Organization, globex: Organization) -> None:
    write_heads(NOW)
    Organization.objects.filter(pk=log.pk).delete()
    assert verify() == [
        "globex: 1 events, all as they were written.",
        f"The organization {log.pk} is gone with its log of 10 events, and Keyhold did not erase it.",
        "Problems: 1.",
    ]
    assert verify("--org", "globex") == ["globex: 1 events, all as they were written."]


def test_an_empty_log_is_a_problem_even_with_a_head_that_fits(log: Organization) -> None:
    with behind_the_trigger():
        events(log, *range(1, 11)).delete()
        AuditHead.objects.filter(organization=log).update(number=0, mac=b"")
    assert verify() == ["acme: The log is empty, and begins with how the organization was created.", "Problems: 1."]


def test_an_event_before_the_first_is_found(log: Organization) -> None:
    AuditEvent.objects.create(organization=log, number=0, mac=b"x" * 32, actor_label="Alice", tag="organization:set")
    assert verify() == ["acme: Event 0 was put in.", "Problems: 1."]


@pytest.mark.usefixtures("postgres_only")
def test_two_events_of_one_number_are_found(log: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.check_constraints()  # what is put off until then keeps the table from being altered
    with connection.schema_editor() as editor:
        editor.remove_constraint(AuditEvent, AuditEvent._meta.constraints[0])
    AuditEvent.objects.create(organization=log, number=5, mac=b"x" * 32, actor_label="Alice", tag="organization:set")
    assert verify() == ["acme: Event 5 was changed.", "Problems: 1."]
    monkeypatch.setattr(check, "READ_AT_ONCE", 5)
    assert "acme: Some events have the same number." in verify()


def test_a_long_log_is_read_some_at_a_time(log: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "READ_AT_ONCE", 3)
    monkeypatch.setattr(check, "MOST_COMPARED", 1)
    assert verify() == ["acme: 10 events, all as they were written."]
    with behind_the_trigger():
        events(log, 2, 4, 5, 6, 10).update(tag="organization:pause")
    assert verify() == [
        "acme: Event 2 was changed.",
        "acme: Events 4 to 6 were changed.",
        "acme: Event 10 was changed.",
        "Problems: 3.",
    ]


def test_what_is_written_while_the_log_is_read_is_no_problem(log: Organization) -> None:
    reading = check.Reading(log)
    read = reading._read
    with_more = [lambda: with_events(log, 3), lambda: None]

    def read_slowly(until: int | None = None) -> Any:
        yield from read(until)
        with_more.pop(0)()

    reading._read = read_slowly  # type: ignore[method-assign]
    assert list(reading.problems()) == []
    assert reading.count == 13


def test_the_key_is_changed_and_what_it_signed_still_fits(log: Organization, settings: Any) -> None:
    write_heads(NOW)
    before = settings.AUDIT_KEY
    settings.AUDIT_KEY, settings.AUDIT_KEY_FALLBACKS = "z" * 50, [before]
    with_events(log, 3)
    add_line(NOW)
    assert verify() == ["acme: 13 events, all as they were written."]
    settings.AUDIT_KEY_FALLBACKS = []
    assert verify() == [
        *[f"acme: Event {number} was changed." for number in range(1, 11)],
        "audit-heads.jsonl: line 1 is not as it was written, or a line before it is missing.",
        "Problems: 11.",
    ]


def test_a_former_key_signs_nothing_any_more(log: Organization, settings: Any) -> None:
    """Which is why somebody who has it cannot add to the log."""
    before = settings.AUDIT_KEY
    settings.AUDIT_KEY = "z" * 50
    with_events(log, 1)
    settings.AUDIT_KEY = before
    with_events(log, 1)
    settings.AUDIT_KEY, settings.AUDIT_KEY_FALLBACKS = "z" * 50, [before]
    assert verify() == ["acme: Event 12 was signed with a former AUDIT_KEY, after another had taken its place.", "Problems: 1."]


def test_a_changed_event_is_named_also_where_the_key_was_changed(log: Organization, settings: Any) -> None:
    settings.AUDIT_KEY, settings.AUDIT_KEY_FALLBACKS = "z" * 50, [settings.AUDIT_KEY]
    with_events(log, 2)
    with behind_the_trigger():
        events(log, 9).update(mac=b"x" * 32)
        events(log, 11).update(tag="organization:pause")
    assert verify() == ["acme: Event 9 was changed.", "acme: Event 11 was changed.", "Problems: 2."]


def lines() -> list[str]:
    return path().read_text().splitlines()


def put(*changed: str) -> None:
    path().write_text("".join(f"{line}\n" for line in changed))


def with_lines(organization: Organization) -> list[str]:
    """Of three days."""
    for days in (2, 1, 0):
        add_line(NOW - days * DAY)
        with_events(organization, 1)
    return lines()


def test_a_file_of_heads_that_was_edited_is_found(log: Organization) -> None:
    one, two, three = with_lines(log)
    put(one, two.replace("[11,", "[10,"), three)
    assert "audit-heads.jsonl: line 2 is not as it was written, or a line before it is missing." in verify()
    put(one, three)
    assert verify()[-2] == "audit-heads.jsonl: line 2 is not as it was written, or a line before it is missing."
    put(one, two, three)
    assert verify() == ["acme: 13 events, all as they were written."]


def test_a_file_of_heads_that_was_cut_off_or_lost_is_found(log: Organization, time_machine: Any) -> None:
    one, _, _ = with_lines(log)
    put(one)
    time_machine.move_to(NOW + timedelta(hours=1), tick=False)
    late = "its last line is of 2026-11-21. One is added every day, so some are missing, or no tick is done."
    assert verify()[1:] == [f"audit-heads.jsonl: {late}", "Problems: 1."]
    path().unlink()
    assert verify() == ["acme: 13 events, all as they were written."]
    time_machine.move_to(NOW + 3 * DAY, tick=False)
    assert verify()[1:] == ["audit-heads.jsonl: it is not there, so nothing tells whether a log was cut off.", "Problems: 1."]


def test_files_of_several_hosts_are_compared_with(log: Organization, globex: Organization, tmp_path: Path) -> None:
    add_line(NOW)
    path().rename(tmp_path / "one.jsonl")
    with_events(globex, 3)
    add_line(NOW)
    cut_off(log, 8)
    cut_off(globex, 2)
    found = verify("--heads", str(tmp_path / "one.jsonl"), "--heads", str(path()))
    assert found == [
        f"acme: The log ends with event 8, and had 10 events on {AT}. {CUT_OFF}",
        f"globex: The log ends with event 2, and had 4 events on {AT}. {CUT_OFF}",
        "Problems: 2.",
    ]


def test_after_a_restore_the_file_is_begun_anew(log: Organization, tmp_path: Path) -> None:
    """As docs/operations.md says."""
    write_heads(NOW)
    cut_off(log, 8)
    path().rename(tmp_path / "audit-heads-before.jsonl")
    with_events(log, 1)
    write_heads(NOW)
    with_events(log, 5)
    assert verify() == ["acme: 14 events, all as they were written."]


def test_the_digest_of_each_line_is_logged(log: Organization, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(logging.getLogger("orgs.audit.heads"), "propagate", True)  # to where caplog listens
    write_heads(NOW)
    [line] = path().read_text().splitlines()
    assert hashlib.sha256(line.encode()).hexdigest() in caplog.text
