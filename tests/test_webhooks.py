"""Webhooks get every alert of their organization, signed, until they take it; and nobody else waits for a slow one."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from django.contrib.auth.models import Group, Permission
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import connection
from django.test import Client

from keys import data_keys, tasks, upkeep
from keys import webhooks as sending
from keys.actions.webhooks import MOST, add_webhook, remove_webhook, set_webhook_enabled
from keys.addresses import AllowList
from keys.egress import Egress, Patience
from orgs import webhooks
from orgs.actions import Actor
from orgs.models import OWNER, AuditEvent, Delivery, Notice, Organization, User, Webhook
from tests.test_canary import all_rows

pytestmark = [pytest.mark.django_db, pytest.mark.large]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BY = Actor(label="Alice")
DOCS = Path(__file__).resolve().parent.parent / "docs" / "webhooks.md"


@dataclass
class Receiver:
    """Somebody's program on loopback. `status` is what it answers; where `hold` is set it waits for that first."""

    status: int = 200
    hold: threading.Event | None = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=canary-in-the-address"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.requests.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}, body))
        if self.hold:
            self.hold.wait(20)
        handler.send_response(self.status)
        handler.send_header("location", f"http://127.0.0.1:{self.port}/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()


@pytest.fixture
def open_receiver(settings: Any) -> Iterator[Callable[..., Receiver]]:
    """Receivers that the operator allowed."""
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    opened: list[tuple[Receiver, ThreadingHTTPServer]] = []

    def start(**fields: Any) -> Receiver:
        receiver = Receiver(**fields)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        receiver.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        opened.append((receiver, server))
        return receiver

    yield start
    for receiver, server in opened:
        if receiver.hold:
            receiver.hold.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(open_receiver: Callable[..., Receiver]) -> Receiver:
    return open_receiver()


@pytest.fixture
def alices(client_of: Callable[[User], Client], alice: User, acme: Organization) -> Client:
    return client_of(alice)


def add(organization: Organization, url: str = "https://hooks.example.com/k", **fields: Any) -> tuple[Webhook, str]:
    webhook, secret = add_webhook(organization=organization, url=url, by=BY)
    Webhook.objects.filter(pk=webhook.pk).update(**{"created_at": NOW - timedelta(days=1)} | fields)
    webhook.refresh_from_db()
    return webhook, secret


def notice(organization: Organization, subject: str = "OpenAI Main is failing", **fields: Any) -> Notice:
    facts = {"tag": "provider_key:failing", "target_id": "7", "body": "It fails.", "path": "/o/acme/providers/7/"}
    return Notice.objects.create(organization=organization, subject=subject, **facts | {"created_at": NOW} | fields)


def waiting(webhook: Webhook, **fields: Any) -> Delivery:
    facts = {"tag": "provider_key:failing", "payload": {"id": "x", "subject": "OpenAI Main is failing"}}
    return Delivery.objects.create(webhook=webhook, **facts | {"created_at": NOW, "due_at": NOW} | fields)


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


# From a notice to a delivery


def test_every_notice_goes_to_every_webhook_of_its_organization_once(acme: Organization, globex: Organization) -> None:
    hooks = [add(acme)[0], add(acme)[0]]
    add(globex)
    made = notice(acme)
    assert [webhooks.hand_on(NOW), webhooks.hand_on(NOW)] == [1, 0]
    assert set(Delivery.objects.values_list("webhook", flat=True)) == {hook.pk for hook in hooks}
    sent = Delivery.objects.first()
    assert sent
    assert sent.payload == {
        "id": str(made.pk),
        "type": "provider_key:failing",
        "created_at": "2026-11-23T12:00:00+00:00",
        "organization": {"id": str(acme.pk), "slug": "acme", "name": "Acme"},
        "target_id": "7",
        "subject": "OpenAI Main is failing",
        "text": "It fails.",
        "url": "http://localhost:8000/o/acme/providers/7/",
    }


def test_a_webhook_gets_nothing_from_before_it_was_added_nor_while_it_is_off(acme: Organization) -> None:
    add(acme, created_at=after(1))
    add(acme, enabled=False)
    notice(acme)
    assert webhooks.hand_on(NOW) == 1
    assert not Delivery.objects.exists()


def test_a_tick_without_news_asks_little(acme: Organization, django_assert_num_queries: Any) -> None:
    add(acme)
    with django_assert_num_queries(3):  # one of them opens and closes a savepoint
        webhooks.hand_on(NOW)
    with django_assert_num_queries(1):
        webhooks.claim(NOW)


# Sending


def test_a_delivery_is_signed_and_the_sample_in_the_docs_verifies_it(acme: Organization, receiver: Receiver) -> None:
    _, secret = add(acme, receiver.url)
    notice(acme)
    webhooks.hand_on(NOW)
    assert sending.deliver_due(NOW) == 1
    [(path, headers, body)] = receiver.requests
    delivery = Delivery.objects.get()
    assert path == "/hook?token=canary-in-the-address"
    assert json.loads(body) == delivery.payload
    assert (headers["content-type"], headers["keyhold-delivery"]) == ("application/json", str(delivery.pk))
    assert (delivery.taken_at is not None, delivery.due_at, delivery.status, delivery.tries) == (True, None, 200, 1)
    verify = sample()
    header = headers["keyhold-signature"]
    assert verify(secret, header, body)
    at, signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header).groups()  # type: ignore[union-attr]
    assert not verify(secret, header, body + b" ")
    assert not verify(secret + "x", header, body)
    assert not verify(secret, f"t={int(at) + 1},v1={signed}", body)
    for broken in ("", "v1", f"v1={signed}", f"t={at}", f"t=²,v1={signed}", f"t={at},v1=é", f"t=-{at},v1={signed}"):
        assert not verify(secret, broken, body)


def test_the_sample_refuses_what_was_signed_long_ago(time_machine: Any) -> None:
    verify, header = sample(), webhooks.signature(b"khwh_x", b"{}", int(NOW.timestamp()))
    for seconds, good in ((0, True), (299, True), (301, False), (-301, False)):
        time_machine.move_to(NOW + timedelta(seconds=seconds), tick=False)
        assert verify("khwh_x", header, b"{}") is good


def sample() -> Callable[..., bool]:
    """The function that docs/webhooks.md tells people to copy."""
    [code] = re.findall(r"```python\n(.+?)```", DOCS.read_text(), flags=re.S)
    space: dict[str, Callable[..., bool]] = {}
    exec(code, space)
    return space["is_from_keyhold"]


def test_the_docs_tell_the_numbers_of_the_code() -> None:
    text = DOCS.read_text()
    assert f"{webhooks.MOST_TRIES} tries" in text
    assert f"{sending.PATIENCE.total:.0f} seconds" in text
    assert f"log of {webhooks.KEPT.days} days" in text
    assert MOST == 10
    assert "up to ten" in text


@pytest.mark.parametrize(
    ("status", "problem"),
    [(500, "It answered 500."), (404, "It answered 404."), (302, "It answered 302. Redirects are not followed.")],
)
def test_what_is_not_taken_is_tried_again(acme: Organization, receiver: Receiver, status: int, problem: str) -> None:
    receiver.status = status
    delivery = waiting(add(acme, receiver.url)[0])
    sending.deliver_due(NOW)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.problem, delivery.taken_at, delivery.due_at) == (status, problem, None, after(1))
    receiver.status = 204
    assert [sending.deliver_due(after(0.9)), sending.deliver_due(after(1)), sending.deliver_due(after(9))] == [0, 1, 0]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.problem, delivery.due_at, delivery.tries) == (204, "", None, 2)
    assert [path for path, _, _ in receiver.requests] == ["/hook?token=canary-in-the-address"] * 2


def test_it_is_tried_later_and_later_over_a_day_then_given_up(acme: Organization) -> None:
    delivery, times = waiting(add(acme)[0]), [NOW]
    while delivery.due_at:
        times.append(delivery.due_at)
        assert webhooks.claim(delivery.due_at)
        delivery.refresh_from_db()
    pauses = [(later - sooner).total_seconds() / 60 for sooner, later in pairwise(times[1:])]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240, 240, 240]
    assert timedelta(days=1) < times[-1] - NOW < timedelta(days=1, hours=1)
    assert delivery.tries == webhooks.MOST_TRIES


def test_a_process_that_dies_while_sending_leaves_it_to_the_next_one(acme: Organization, receiver: Receiver) -> None:
    waiting(add(acme, receiver.url)[0])
    assert webhooks.claim(NOW)
    assert sending.deliver_due(NOW) == 0
    assert sending.deliver_due(after(1)) == len(receiver.requests) == 1


def test_one_that_was_deleted_while_it_was_sent_is_no_error(acme: Organization, receiver: Receiver) -> None:
    webhook = add(acme, receiver.url)[0]
    waiting(webhook)
    claimed = webhooks.claim(NOW)
    remove_webhook(webhook=webhook, by=BY)
    sending.deliver(claimed)
    assert len(receiver.requests) == 1
    assert not Delivery.objects.exists()


def test_turned_off_it_waits_and_turned_on_it_goes(acme: Organization, receiver: Receiver) -> None:
    webhook = add(acme, receiver.url)[0]
    waiting(webhook)
    for enabled, tried in ((False, 0), (True, 1)):
        set_webhook_enabled(webhook=webhook, enabled=enabled, by=BY)
        assert sending.deliver_due(NOW) == tried


def test_a_secret_that_does_not_open_is_told_and_the_others_go_out(acme: Organization, receiver: Receiver, caplog: Any) -> None:
    broken = waiting(add(acme, receiver.url, sealed=b"nonsense")[0])
    good = waiting(add(acme, receiver.url)[0])
    sending.deliver_due(NOW)
    for each in (broken, good):
        each.refresh_from_db()
    assert "does not open" in broken.problem
    assert broken.due_at == after(1)
    assert good.taken_at


def test_what_is_old_and_done_is_forgotten(acme: Organization) -> None:
    webhook, old = add(acme)[0], NOW - timedelta(days=31)
    kept = [waiting(webhook, due_at=None), waiting(webhook, created_at=old)]
    waiting(webhook, created_at=old, due_at=None)
    webhooks.forget_old_deliveries(NOW)
    assert set(Delivery.objects.all()) == set(kept)


# Where it does not go


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://hooks.example.com/", "https://10.0.0.1/", "https://[::1]/"])
def test_an_address_inside_is_refused_when_it_is_sent_too(acme: Organization, url: str) -> None:
    delivery = waiting(add(acme, url)[0])
    sending.deliver_due(NOW)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.taken_at) == (None, None)
    assert delivery.problem.startswith("The address ")


class Names(AbstractResolver):
    """Names that lead inside, or that nobody answers for until `released`."""

    def __init__(self, found: str = "", released: threading.Event | None = None) -> None:
        self.found, self.released = found, released

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if self.released:
            await asyncio.get_running_loop().run_in_executor(None, self.released.wait, 20)
        return [ResolveResult(hostname=host, host=self.found, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


def test_a_name_that_leads_inside_is_refused(acme: Organization) -> None:
    delivery = waiting(add(acme)[0])
    sending.deliver([delivery], Egress(AllowList.parse([]), Names("10.0.0.5")))
    delivery.refresh_from_db()
    assert delivery.problem == "The address is not on the public internet."


# Slow ones


def test_slow_receivers_and_name_servers_hold_up_nobody(
    acme: Organization, open_receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keys.webhooks.PATIENCE", Patience(connect=5, first_byte=0.3, total=0.3))
    slow, quick = open_receiver(hold=threading.Event()), open_receiver()
    deliveries = [waiting(add(acme, each.url)[0]) for each in (slow, slow, slow, quick)]
    released = threading.Event()
    deliveries.append(waiting(add(acme, "https://slow-names.example.com/")[0]))
    try:
        started = datetime.now(UTC)
        sending.deliver(deliveries, Egress(AllowList.parse(["127.0.0.1"]), Names("10.0.0.5", released)))
        assert datetime.now(UTC) - started < timedelta(seconds=5)  # one after the other, or the name server, take longer
    finally:
        released.set()
    late = "No answer came in time."
    assert [each.problem for each in deliveries] == [late, late, late, "", late]


def test_one_that_is_down_leaves_room_for_the_others(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgs.webhooks.MOST_AT_ONCE", 8)
    down, well = add(acme)[0], add(acme)[0]
    for minute in range(20):
        waiting(down, due_at=after(-60 + minute))
    for _ in range(3):
        waiting(well)
    claimed = [each.webhook_id for each in webhooks.claim(NOW)]
    assert (claimed.count(down.pk), claimed.count(well.pk)) == (5, 3)


def test_a_tick_sends_mail_before_it_waits_for_webhooks(
    acme: Organization, receiver: Receiver, mailoutbox: list[EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(acme, receiver.url)
    notice(acme)
    seen, take = [], receiver.take

    def look_first(handler: BaseHTTPRequestHandler) -> None:
        seen.append(len(mailoutbox))
        take(handler)

    monkeypatch.setattr(receiver, "take", look_first)
    tasks.tick.enqueue()
    assert seen == [1]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_processes_send_each_delivery_once(postgres_only: None, receiver: Receiver) -> None:
    lone = Organization.objects.create(name="Lone", slug="lone")
    add(lone, receiver.url)
    for number in range(4):
        notice(lone, f"Notice {number}")

    def work(_: int) -> tuple[int, int]:
        try:
            return webhooks.hand_on(NOW), sending.deliver_due(NOW)
        finally:
            connection.close()

    for _ in range(2):
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(work, range(3)))
    assert len({headers["keyhold-delivery"] for _, headers, _ in receiver.requests}) == len(receiver.requests) == 4


# The secret


def test_the_secret_is_shown_once_and_found_nowhere_else(alices: Client, acme: Organization, receiver: Receiver) -> None:
    answer = alices.post("/o/acme/alerts/", {"url": receiver.url})
    [secret] = re.findall(r"khwh_[\w-]{43}", answer.content.decode())
    webhook = Webhook.objects.get()
    waiting(webhook)
    alices.post(f"/o/acme/alerts/{webhook.pk}/test/")
    for address in ("", f"{webhook.pk}/", f"deliveries/{Delivery.objects.latest('created_at').pk}/", f"{webhook.pk}/delete/"):
        assert secret not in alices.get(f"/o/acme/alerts/{address}").content.decode()
    for table, row in all_rows():
        assert secret not in row, table
    assert secret not in f"{webhook!r} {vars(webhook)}"
    assert all(secret.encode() not in body and secret not in str(headers) for _, headers, body in receiver.requests)


def test_the_rest_of_the_address_is_told_to_owners_alone(alices: Client, acme: Organization, receiver: Receiver) -> None:
    alices.post("/o/acme/alerts/", {"url": receiver.url})
    webhook = Webhook.objects.get()
    for act in ("test", "off", "on"):
        alices.post(f"/o/acme/alerts/{webhook.pk}/{act}/")
    alices.post(f"/o/acme/alerts/{webhook.pk}/delete/")
    events = AuditEvent.objects.filter(tag__startswith="webhook:").order_by("pk")
    assert [event.tag.partition(":")[2] for event in events] == ["add", "test", "off", "on", "remove"]
    assert "canary" not in "".join(f"{event.target_label}{event.changes}" for event in events)
    assert events[0].target_label == f"127.0.0.1:{receiver.port}"


def test_the_vault_looks_after_it_too(acme: Organization, settings: Any, capsys: Any) -> None:
    webhook, secret = add(acme)
    call_command("vault", "reseal", "--new-data-key")
    webhook.refresh_from_db()
    assert data_keys.open_signing_secret(webhook, data_keys.of(acme)) == secret.encode()
    settings.VAULT_SUITE = 2
    call_command("vault", "reseal")
    call_command("vault", "status")
    assert "webhooks sealed by suite 2, data key version 2: 1" in capsys.readouterr().out
    Webhook.objects.filter(pk=webhook.pk).update(sealed=b"nonsense")
    assert [visit.row for visit in upkeep.verify() if not visit.opened] == [webhook]


# Pages


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "Enter an address"),
        ("hooks.example.com", "must start with https://"),
        ("http://hooks.example.com/", "must start with https://"),
        ("https://127.0.0.1/", "is not a public one"),
        ("https://hooks.example.com:8443/", "may not name a port"),
        ("https://localhost/", "must name a host, for example"),
        ("https://user:pass@hooks.example.com/", "may not hold a user name"),
        (f"https://hooks.example.com/{'x' * 500}", "500 characters are the most"),
    ],
)
def test_an_address_that_cannot_be_is_refused_and_the_form_kept(alices: Client, url: str, said: str) -> None:
    answer = alices.post("/o/acme/alerts/", {"url": url})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert f'value="{url}"' in answer.content.decode() or not url
    assert not Webhook.objects.exists()


def test_there_are_at_most_ten(alices: Client, acme: Organization) -> None:
    for _ in range(MOST):
        add(acme)
    answer = alices.post("/o/acme/alerts/", {"url": "https://hooks.example.com/"})
    assert (answer.status_code, Webhook.objects.count()) == (422, MOST)


def test_a_test_tells_what_the_receiver_answered_and_is_tried_once(
    alices: Client, acme: Organization, receiver: Receiver
) -> None:
    webhook = add(acme, receiver.url)[0]
    answer = alices.post(f"/o/acme/alerts/{webhook.pk}/test/", follow=True)
    assert f"127.0.0.1:{receiver.port} took it and answered 200." in answer.content.decode()
    receiver.status = 500
    answer = alices.post(f"/o/acme/alerts/{webhook.pk}/test/", follow=True)
    assert f"127.0.0.1:{receiver.port} did not take it. It answered 500." in answer.content.decode()
    assert "Not tried again." in answer.content.decode()
    assert list(Delivery.objects.values_list("due_at", "tag", "tries")) == [(None, "webhook:test", 1)] * 2
    payload = json.loads(receiver.requests[0][2])
    assert (payload["type"], payload["url"]) == ("webhook:test", f"http://localhost:8000/o/acme/alerts/{webhook.pk}/")


def test_tests_are_paced(alices: Client, acme: Organization, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keys.pace.TESTS_A_MINUTE", 0)
    webhook = add(acme, receiver.url)[0]
    old = waiting(webhook)
    for address in (f"{webhook.pk}/test/", f"deliveries/{old.pk}/again/"):
        assert "Test again in" in alices.post(f"/o/acme/alerts/{address}", follow=True).content.decode()
    assert not receiver.requests


def test_an_alert_is_sent_again_with_its_old_id(alices: Client, acme: Organization, receiver: Receiver) -> None:
    webhook = add(acme, receiver.url)[0]
    made = notice(acme)
    webhooks.hand_on(NOW)
    sending.deliver_due(NOW)
    first = Delivery.objects.get()
    answer = alices.post(f"/o/acme/alerts/deliveries/{first.pk}/again/", follow=True)
    second = Delivery.objects.exclude(pk=first.pk).get()
    assert answer.request["PATH_INFO"] == f"/o/acme/alerts/deliveries/{second.pk}/"
    assert [json.loads(body)["id"] for _, _, body in receiver.requests] == [str(made.pk)] * 2
    assert second.webhook == webhook
    assert second.taken_at
    event = AuditEvent.objects.get(tag="webhook:replay")
    assert event.changes["after"] == {"alert": "provider_key:failing", "id": str(made.pk)}


def test_what_is_sent_again_and_not_taken_is_tried_later(alices: Client, acme: Organization, receiver: Receiver) -> None:
    receiver.status = 503
    old = waiting(add(acme, receiver.url)[0], due_at=None)
    alices.post(f"/o/acme/alerts/deliveries/{old.pk}/again/")
    new = Delivery.objects.exclude(pk=old.pk).get()
    assert (new.tries, new.problem, new.taken_at) == (1, "It answered 503.", None)
    assert new.due_at
    assert new.due_at - new.created_at == timedelta(minutes=1)


@pytest.mark.parametrize("rows", [1, 3])
def test_pages_ask_as_often_for_many_rows_as_for_one(
    alices: Client, acme: Organization, rows: int, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        hook = add(acme)[0]
        notice(acme)
        for _ in range(rows):
            waiting(hook)
    delivery = Delivery.objects.filter(webhook=hook).latest("created_at")
    for address, queries in {"": 8, f"{hook.pk}/": 8, f"deliveries/{delivery.pk}/": 7}.items():
        with django_assert_num_queries(queries):
            assert alices.get(f"/o/acme/alerts/{address}").status_code == 200


def test_the_log_has_pages(alices: Client, acme: Organization) -> None:
    webhook = add(acme)[0]
    for number in range(60):
        waiting(webhook, created_at=after(number), payload={"id": "x", "subject": f"Alert {number:02}"})
    first = alices.get(f"/o/acme/alerts/{webhook.pk}/").content.decode()
    [older] = re.findall(r'href="(\?before=[^"]+)"', first)
    second = alices.get(f"/o/acme/alerts/{webhook.pk}/{older}").content.decode()
    found = [re.findall(r"Alert \d\d", page) for page in (first, second)]
    assert [len(each) for each in found] == [50, 10]
    assert set(found[0] + found[1]) == {f"Alert {number:02}" for number in range(60)}
    for odd in ("x", "2026-13-99T00:00:00Z", "2026-11-23T12:00:00", f"0001-01-01T00:00:00+14:00~{webhook.pk}"):
        assert alices.get(f"/o/acme/alerts/{webhook.pk}/", {"before": odd}).status_code == 200


def test_no_delivery_is_lost_between_pages_of_the_log(alices: Client, acme: Organization) -> None:
    """Alerts that are handed on together have the same time."""
    webhook = add(acme)[0]
    for number in range(60):
        notice(acme, f"Alert {number:02}")
    webhooks.hand_on(NOW)
    first = alices.get(f"/o/acme/alerts/{webhook.pk}/").content.decode()
    [older] = re.findall(r'href="(\?before=[^"]+)"', first)
    second = alices.get(f"/o/acme/alerts/{webhook.pk}/{older}").content.decode()
    assert len(set(re.findall(r"Alert \d\d", first + second))) == 60


def test_who_may_only_look_adds_no_webhook(alices: Client, acme: Organization) -> None:
    Group.objects.get(name=OWNER).permissions.remove(Permission.objects.get(codename="change_webhook"))
    assert alices.get("/o/acme/alerts/").status_code == 200
    assert alices.post("/o/acme/alerts/", {"url": "https://hooks.example.com/"}).status_code == 403
    assert not Webhook.objects.exists()


def test_hostile_alerts_are_text(alices: Client, acme: Organization) -> None:
    hook = add(acme)[0]
    notice(acme, "<script>alert(1)</script>")
    webhooks.hand_on(NOW)
    for address in ("", f"{hook.pk}/", f"deliveries/{Delivery.objects.get().pk}/"):
        assert "<script>alert" not in alices.get(f"/o/acme/alerts/{address}").content.decode()
