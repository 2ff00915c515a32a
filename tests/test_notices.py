"""Notices are sent to owners once, and not given up too early."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.mail import EmailMessage
from django.db import connection

from orgs import notices
from orgs.models import MEMBER, OWNER, Membership, Notice, Organization, User

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def notice(organization: Organization, subject: str = "OpenAI Main is failing", **fields: Any) -> Notice:
    facts = {"tag": "provider_key:failing", "body": "It fails.", "path": "/o/acme/providers/7/", "due_at": NOW, "created_at": NOW}
    return Notice.objects.create(organization=organization, subject=subject, **facts | fields)


class Broken:
    """A mail server that takes nothing."""

    def __init__(self, **_: Any) -> None: ...

    def send_messages(self, messages: list[EmailMessage]) -> int:
        raise OSError(f"no route for {messages[0].to}")


@pytest.fixture
def broken(settings: Any) -> None:
    """From here on no mail gets through."""
    settings.MAILERS = {"default": {"BACKEND": "tests.test_notices.Broken"}}


def test_all_owners_and_nobody_else_get_it_once(
    acme: Organization, globex: Organization, make_user: Any, mailoutbox: list[EmailMessage]
) -> None:
    for name, role, active in (("Ada", OWNER, True), ("Gone", OWNER, False), ("Ben", MEMBER, True)):
        user = make_user(name, is_active=active)
        Membership.objects.create(organization=acme, user=user, role=Group.objects.get(name=role))
    made = notice(acme)
    assert [notices.send_due(NOW), notices.send_due(NOW + timedelta(days=1))] == [1, 0]
    [mail] = mailoutbox
    assert mail.to == ["alice@example.com", "ada@example.com"]
    assert mail.subject == "Keyhold: OpenAI Main is failing"
    assert mail.body.startswith("It fails.\n\nhttp://localhost:8000/o/acme/providers/7/\n")
    assert mail.extra_headers["Message-ID"] == f"<notice-{made.pk}@localhost>"
    made.refresh_from_db()
    assert (made.due_at, made.tries) == (None, 1)
    assert made.sent_at


def test_one_that_is_not_due_yet_waits(acme: Organization, mailoutbox: list[EmailMessage]) -> None:
    notice(acme, due_at=NOW + timedelta(seconds=1))
    assert notices.send_due(NOW) == 0
    assert notices.send_due(NOW + timedelta(seconds=1)) == len(mailoutbox) == 1


def test_a_name_with_a_line_break_adds_no_header(acme: Organization, mailoutbox: list[EmailMessage]) -> None:
    notice(acme, subject="OpenAI x\nBcc: eve@example.com is failing")
    notices.send_due(NOW)
    assert mailoutbox[0].subject == "Keyhold: OpenAI x Bcc: eve@example.com is failing"
    assert mailoutbox[0].recipients() == ["alice@example.com"]


def test_one_that_nobody_can_get_is_put_away(acme: Organization, alice: User, mailoutbox: list[EmailMessage]) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    made = notice(acme)
    notices.send_due(NOW)
    made.refresh_from_db()
    assert (made.due_at, made.sent_at, mailoutbox) == (None, None, [])


@pytest.mark.usefixtures("broken")
def test_a_failure_is_tried_again_later_and_later_then_given_up(acme: Organization, caplog: pytest.LogCaptureFixture) -> None:
    made, now, pauses = notice(acme), NOW, []
    while made.due_at:
        assert notices.send_due(made.due_at) == 0
        now = made.due_at
        made.refresh_from_db()
        pauses.append((made.due_at - now).total_seconds() / 60 if made.due_at else None)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, None]
    assert (made.tries, made.sent_at) == (10, None)
    assert caplog.messages[-1] == "A notice (provider_key:failing) could not be sent: OSError. It is given up."
    assert "@example.com" not in caplog.text


@pytest.mark.usefixtures("broken")
def test_a_mail_server_in_trouble_is_asked_once_a_round(acme: Organization) -> None:
    for _ in range(3):
        notice(acme)
    notices.send_due(NOW)
    assert sorted(Notice.objects.values_list("tries", flat=True)) == [0, 0, 1]


def test_a_process_that_dies_while_sending_leaves_it_to_the_next_one(acme: Organization, mailoutbox: list[EmailMessage]) -> None:
    notice(acme)
    assert notices.claim(NOW)
    assert notices.claim(NOW) is None
    assert notices.send_due(NOW + timedelta(minutes=1)) == len(mailoutbox) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_processes_send_each_notice_once(postgres_only: None, mailoutbox: list[EmailMessage]) -> None:
    lone = Organization.objects.create(name="Lone", slug="lone")
    user = User.objects.create_user("ada@example.com", None)
    Membership.objects.create(organization=lone, user=user, role=Group.objects.get_or_create(name=OWNER)[0])
    made = {f"Keyhold: {notice(lone, subject=f'Notice {number}').subject}" for number in range(15)}

    def send(_: int) -> int:
        try:
            return notices.send_due(NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(send, range(3))) == 15
    assert len(mailoutbox) == 15
    assert {mail.subject for mail in mailoutbox} == made
