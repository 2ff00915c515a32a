"""What providers billed beside what was booked: entered one by one or imported, and compared by key and month."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as some

from keys.actions import remove_key
from keys.models import ProviderKey
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User
from tests.attempts import NOON, attempt, make_keys
from usage.actions_prices import set_invoices
from usage.forms_prices import MOST_BYTES
from usage.ingest import book
from usage.invoices import MOST_LINES, Billed, Unreadable, read
from usage.models import DailyRollup, Invoice, UsageEvent

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
DOLLAR = 1_000_000
PAGE, IMPORT = "/o/acme/invoices/", "/o/acme/invoices/import/"
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
IN_OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def at_noon(time_machine: Any) -> None:
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def alices(alice: User, acme: Organization, client_of: SignIn) -> Client:
    return client_of(alice)


@pytest.fixture
def key(acme: Organization) -> ProviderKey:
    return make_keys(acme).provider


def spend(key: ProviderKey, dollars: float, at: datetime = IN_OCTOBER) -> None:
    book([attempt(key.organization, key=key.pk, at=at, reported_cost_microusd=round(dollars * DOLLAR))])


def bill(key: ProviderKey, dollars: float, month: date = OCTOBER) -> Invoice:
    set_invoices(organization=key.organization, billed=[Billed(key, month, round(dollars * DOLLAR))], by=BY)
    return Invoice.objects.get(provider_key_id=key.pk, month=month)


def namesake(key: ProviderKey, provider: str = "openai") -> ProviderKey:
    return ProviderKey.objects.create(
        organization=key.organization, provider=provider, name=key.name, priority=2, sealed=b"", hint="", fingerprint=""
    )


def typed(key: ProviderKey, **fields: str) -> dict[str, str]:
    return {"key": str(key.pk), "month": "2026-10", "total": "1234.56"} | fields


def rows(client: Client, month: str = "2026-10") -> list[tuple[str, ...]]:
    found = client.get(PAGE, {"month": month}).context
    shown = [*found["rows"], *([found["total"]] if found["total"] else [])]
    return [(row.name, row.booked, row.billed, row.difference, row.share) for row in shown]


# Comparing


def test_an_owner_enters_an_invoice_and_sees_by_how_much_it_differs(alices: Client, alice: User, key: ProviderKey) -> None:
    spend(key, 1200)
    answer = alices.post(PAGE, typed(key), follow=True)
    assert "The invoice of “OpenAI Production” for October 2026 is saved." in answer.text
    assert rows(alices) == [("OpenAI Production", "$1,200.00", "$1,234.56", "+$34.56", "+2.9%")]
    assert f'href="{PAGE}" aria-current="page"' in answer.text
    assert "+$34.56" in answer.text
    kept = Invoice.objects.get()
    assert (kept.month, kept.total_microusd, kept.created_by) == (OCTOBER, 1_234_560_000, alice)


def test_keys_are_summed_where_both_amounts_are_known(alices: Client, acme: Organization, key: ProviderKey) -> None:
    backup, unbilled, unused = (make_keys(acme, name=name).provider for name in ("Backup", "Unbilled", "Unused"))
    spend(key, 100)
    spend(backup, 50)
    spend(unbilled, 7)
    bill(key, 90)
    bill(backup, 50)
    bill(unused, 5)
    assert rows(alices) == [
        ("OpenAI Backup", "$50.00", "$50.00", "$0.00", "0%"),
        ("OpenAI Production", "$100.00", "$90.00", "−$10.00", "−10%"),
        ("OpenAI Unbilled", "$7.00", "–", "–", "–"),
        ("OpenAI Unused", "$0.00", "$5.00", "+$5.00", "–"),
        ("3 keys with both amounts", "$150.00", "$145.00", "−$5.00", "−3.3%"),
    ]


def test_what_has_no_price_is_said_and_never_taken_for_nothing(alices: Client, acme: Organization, key: ProviderKey) -> None:
    partly = make_keys(acme, name="Partly").provider
    for each in (key, partly):
        book([attempt(acme, key=each.pk, at=IN_OCTOBER, model="someone/new", native_model="new")])
        bill(each, 10)
    spend(partly, 8)
    assert rows(alices) == [
        ("OpenAI Partly", "$8.00", "$10.00", "+$2.00", "+25%"),
        ("OpenAI Production", "–", "$10.00", "–", "–"),
    ]
    assert alices.get(PAGE).text.count("No price known for 1 request") == 2


def test_a_month_is_that_of_the_organization(alices: Client, key: ProviderKey) -> None:
    Organization.objects.update(timezone="Europe/Berlin")
    key.organization.refresh_from_db()
    spend(key, 1, datetime(2026, 9, 30, 21, 59, tzinfo=UTC))
    spend(key, 2, datetime(2026, 9, 30, 22, tzinfo=UTC))
    spend(key, 4, datetime(2026, 10, 31, 22, 59, tzinfo=UTC))  # clocks went back meanwhile
    spend(key, 8, datetime(2026, 10, 31, 23, tzinfo=UTC))
    assert [rows(alices, month)[0][1] for month in ("2026-09", "2026-10", "2026-11")] == ["$1.00", "$6.00", "$8.00"]


def test_an_invoice_changes_nothing_that_is_booked(alices: Client, key: ProviderKey) -> None:
    spend(key, 3)
    before = (list(UsageEvent.objects.values()), list(DailyRollup.objects.values()))
    alices.post(PAGE, typed(key))
    alices.post(reverse("invoice_remove", args=["acme", Invoice.objects.get().pk]))
    assert (list(UsageEvent.objects.values()), list(DailyRollup.objects.values())) == before


def test_shared_keys_and_other_organizations_are_left_out(
    alices: Client, acme: Organization, globex: Organization, key: ProviderKey
) -> None:
    theirs = make_keys(globex).provider
    book([attempt(acme, key=theirs.pk, at=IN_OCTOBER, reported_cost_microusd=DOLLAR)])
    spend(theirs, 9)
    bill(theirs, 9)
    assert rows(alices) == []
    assert "Nothing was booked or billed in October 2026." in alices.get(PAGE, {"month": "2026-10"}).text
    assert alices.post(PAGE, typed(theirs)).status_code == 422
    assert alices.post(reverse("invoice_remove", args=["acme", Invoice.objects.get().pk])).status_code == 404
    assert Invoice.objects.count() == 1


@pytest.mark.parametrize("asked", ["", "nonsense", "2026-13", "0001-01", "9999-12"])
def test_without_a_month_the_newest_invoice_is_shown_or_the_last_month(alices: Client, key: ProviderKey, asked: str) -> None:
    assert alices.get(PAGE, {"month": asked}).context["month"] == "October 2026"
    bill(key, 1, date(2026, 5, 1))
    assert alices.get(PAGE, {"month": asked}).context["month"] == "May 2026"


def test_months_lead_to_each_other_up_to_the_present_one(alices: Client, key: ProviderKey) -> None:
    page = alices.get(PAGE, {"month": "2026-01"})
    assert page.context["earlier"] == ("December 2025", f"{PAGE}?month=2025-12")
    assert page.context["later"] == ("February 2026", f"{PAGE}?month=2026-02")
    assert alices.get(PAGE, {"month": "2026-11"}).context["later"] is None


def test_the_page_asks_as_often_for_one_key_as_for_many(alices: Client, acme: Organization, key: ProviderKey) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as captured:
            alices.get(PAGE, {"month": "2026-10"})
        return len(captured)

    spend(key, 1)
    bill(key, 1)
    questions()
    before = questions()
    for number in range(3):
        bill(make_keys(acme, name=f"Key {number}").provider, 1)
    assert (before, questions()) == (9, 9)


# Writing


def test_a_second_invoice_takes_the_place_of_the_first_and_each_change_is_told(
    alices: Client, alice: User, key: ProviderKey
) -> None:
    for total in ("10", "10", "12.5"):
        alices.post(PAGE, typed(key, total=total))
    address = reverse("invoice_remove", args=["acme", Invoice.objects.get().pk])
    assert "The invoice for October 2026 is deleted." in alices.post(address, follow=True).text
    assert alices.post(address).status_code == 404
    events = AuditEvent.objects.filter(target_id=str(key.pk)).order_by("pk")
    first, second = ({"month": "2026-10", "total_microusd": each} for each in (10_000_000, 12_500_000))
    assert [(event.tag, event.actor, event.changes["before"], event.changes["after"]) for event in events] == [
        ("provider_key:set_invoice", alice, {}, first),
        ("provider_key:set_invoice", alice, first, second),
        ("provider_key:remove_invoice", alice, second, {}),
    ]


def test_a_deleted_key_may_still_be_billed(alices: Client, key: ProviderKey) -> None:
    remove_key(key=key, by=BY)
    assert alices.post(PAGE, typed(key)).status_code == 302
    assert rows(alices)[0][0] == "OpenAI Production (deleted)"


@pytest.mark.parametrize(
    ("field", "entered", "said"),
    [
        ("key", "", "Choose a provider key."),
        ("month", "", "Choose a month."),
        ("month", "October", "Write the month as 2026-10."),
        ("month", "2026-10-05", "Write the month as 2026-10."),
        ("month", "2026-12", "This month has not begun."),
        ("total", "", "Enter an amount in dollars, for example 1234.56."),
        ("total", "1.234,56", "Enter dollars as a number, for example 1234.56."),
        ("total", "-1", "Enter at least 0 dollars."),
        ("total", "100000001", "Enter at most 100,000,000 dollars."),
    ],
)
def test_a_mistake_is_named_at_its_field(alices: Client, key: ProviderKey, field: str, entered: str, said: str) -> None:
    answer = alices.post(PAGE, typed(key) | {field: entered})
    assert answer.status_code == 422
    assert "<title>Error: Invoices" in answer.text
    assert answer.context["form"].errors == {field: [said]}
    assert answer.text.count(said) == 2
    assert not Invoice.objects.exists()


# Importing


def upload(client: Client, text: str | bytes, name: str = "bills.csv") -> Any:
    data = text.encode() if isinstance(text, str) else text
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, data, "text/csv")}, follow=True)


def test_a_file_is_imported_whole_and_shown(alices: Client, acme: Organization, key: ProviderKey) -> None:
    backup = make_keys(acme, name="Backup", provider="anthropic").provider
    bill(key, 10)
    answer = upload(
        alices, f"Total,Month,Key,Note\n10,2026-10,OPENAI production,x\n\n0.5,2026-09,{backup.pk},\n12,2026-10,backup\n"
    )
    assert "3 invoices read, 2 of them new or changed." in answer.text
    assert answer.context["month"] == "October 2026"
    found = Invoice.objects.order_by("month", "total_microusd").values_list("provider_key_id", "month", "total_microusd")
    assert list(found) == [(backup.pk, date(2026, 9, 1), 500_000), (key.pk, OCTOBER, 10**7), (backup.pk, OCTOBER, 12 * DOLLAR)]


def test_one_wrong_line_stops_all_of_them_and_every_wrong_one_is_named(alices: Client, key: ProviderKey) -> None:
    namesake(key, provider="anthropic")
    answer = upload(
        alices,
        "key,month,total\nOpenAI Production,2026-10,5\n,2026-10,5\nNobody,2026-10,5\nProduction,2026-10,5\n"
        "OpenAI Production,10/2026,5\nOpenAI Production,2026-12,5\nOpenAI Production,2026-09,$5\n"
        'OpenAI Production,2026-09,"1,5"\nopenai production,2026-10,6\nOpenAI Production,2026-09\n',
    )
    assert answer.status_code == 422
    assert not Invoice.objects.exists()
    assert answer.context["files"].errors["file"] == [
        "Line 3: The key is missing.",
        "Line 4: No provider key is called “Nobody”.",
        "Line 5: 2 provider keys are called “Production”. Write the id, as in usage.csv by provider key.",
        "Line 6: “10/2026” is no month. Write it as 2026-10.",
        "Line 7: 2026-12 has not begun.",
        "Line 8: “$5” is no amount. Write dollars as a number, for example 1234.56.",
        "Line 9: “1,5” is no amount. Write dollars as a number, for example 1234.56.",
        "Line 10: “OpenAI Production” has an amount for 2026-10 already. Give the sum of both.",
        "Line 11: “” is no amount. Write dollars as a number, for example 1234.56.",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "This file is empty."),
        (b"key,month,total\n", "There is no line below the heads."),
        (b"key;month;total\n", "The first line has no key and no month and no total. It must name key, month and total."),
        (b"key,month\nx,2026-10\n", "The first line has no total. It must name key, month and total."),
        (b"\xff\xfe\x00", "This is not a text file in UTF-8. Export it as CSV."),
        (b'key,month,total\n"x', "This cannot be read as CSV: unexpected end of data."),
        (b"key,month,total\n" + b"x,2026-10,1\n" * (MOST_LINES + 1), "This has 501 lines. Import at most 500 at once."),
        (b"x" * (MOST_BYTES + 1), "This file is larger than 200 kB."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(alices: Client, key: ProviderKey, data: bytes, said: str) -> None:
    answer = upload(alices, data)
    assert answer.status_code == 422
    assert answer.context["files"].errors["file"] == [said]
    assert said in answer.text


def test_a_file_must_be_chosen(alices: Client, key: ProviderKey) -> None:
    answer = alices.post(IMPORT)
    assert (answer.status_code, answer.context["files"].errors["file"]) == (422, ["Choose a CSV file."])


def test_many_problems_are_told_in_part(key: ProviderKey) -> None:
    with pytest.raises(Unreadable) as raised:
        read(b"key,month,total\n" + b"x,2026-10,1\n" * 400, [key], NOVEMBER)
    assert len(raised.value.problems) == 11
    assert raised.value.problems[-1] == "And 390 more."


def test_markup_in_a_file_is_only_text(alices: Client, key: ProviderKey) -> None:
    answer = upload(alices, "key,month,total\n<script>alert(1)</script>,2026-10,1\n")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


@given(some.binary(max_size=300))
def test_no_file_is_answered_with_anything_but_a_reason(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(b"key,month,total\n\xff" + data, [], NOVEMBER)
    with pytest.raises(Unreadable):  # without a key there is nothing that a line could be for
        read(data, [], NOVEMBER)


@given(some.text(max_size=30), some.text(max_size=10), some.text(max_size=10))
def test_no_line_is_answered_with_anything_but_a_reason(name: str, month: str, total: str) -> None:
    with pytest.raises(Unreadable):
        read(f'key,month,total\n"{name}","{month}","{total}"\n'.encode("utf-8", "replace"), [], NOVEMBER)


@given(some.integers(0, 10**14))
def test_an_amount_comes_back_to_the_last_figure(microusd: int) -> None:
    key = ProviderKey(provider="openai", name="Production")
    data = f"key,month,total\nProduction,2026-10,{microusd // DOLLAR}.{microusd % DOLLAR:06}\n".encode()
    assert read(data, [key], NOVEMBER) == [Billed(key, OCTOBER, microusd)]


def test_a_byte_order_mark_and_other_line_ends_are_read(key: ProviderKey) -> None:
    data = b"\xef\xbb\xbfkey,month,total\r\nProduction,2026-10,1\r\n"
    assert read(data, [key], NOVEMBER) == [Billed(key, OCTOBER, DOLLAR)]


def test_a_deleted_key_and_a_new_one_of_its_name_must_be_told_apart(key: ProviderKey) -> None:
    ProviderKey.objects.filter(pk=key.pk).update(removed_at=NOON - timedelta(days=1))
    new = namesake(key)
    with pytest.raises(Unreadable, match="2 provider keys are called “OpenAI Production”"):
        read(b"key,month,total\nOpenAI Production,2026-10,1\n", [key, new], NOVEMBER)
    assert read(f"key,month,total\n{key.pk},2026-10,1\n".encode(), [key, new], NOVEMBER)[0].key == key
