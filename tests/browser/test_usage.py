"""Who used what: an owner follows numbers down to single requests, reads the chart, takes the CSV; a member sees their own."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visitor
from tests.browser.past import DAYS, PASSWORD, write_beside
from tests.browser.test_thirteen import set_up
from tests.serving import Server

REQUESTS, FAILED = "96", "6"


def see_usage(keyhold: Server, visit: Callable[..., Visitor], folder: Path, *, scripts: bool = True) -> Visitor:
    """Ada, an owner, on the page of thirty days in which she and Bob made requests."""
    ada = visit(keyhold.link, scripts=scripts)
    set_up(ada)
    write_beside(folder / "data")
    ada.press("link", "Usage")
    ada.sees("Requests per day by provider")
    return ada


def number(visitor: Visitor, name: str) -> Locator:
    """One of the five, by its name."""
    return visitor.page.locator(".stats > div").filter(has_text=name).locator("dd").first


def breakdown(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("navigation", name="Break down by")


def lines(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("table", name=re.compile("latest requests", re.I)).locator("tbody").get_by_role("row")


def test_an_owner_follows_numbers_reads_the_chart_and_takes_the_csv(
    keyhold: Server, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    ada = see_usage(keyhold, visit, tmp_path)
    drill(ada)
    ada.press("link", "Client key", within=breakdown(ada))
    ada.press("link", "notebook")
    expect(number(ada, "Requests")).to_have_text(str(DAYS))
    expect(ada.page.get_by_role("heading", name="Usage", exact=True)).to_be_focused()
    ada.page.go_back()
    expect(number(ada, "Requests")).to_have_text(REQUESTS)
    read_chart(ada)
    take_csv(ada)


def test_numbers_lead_to_their_requests_without_scripts(keyhold: Server, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    drill(see_usage(keyhold, visit, tmp_path, scripts=False))


def drill(ada: Visitor) -> None:
    """From the share of errors to the failed requests, to one of them, and back to all."""
    expect(number(ada, "Requests")).to_have_text(REQUESTS)
    ada.press("link", re.compile("%$"), within=number(ada, "Errors"))
    expect(number(ada, "Requests")).to_have_text(FAILED)
    expect(lines(ada).get_by_text("Failed")).to_have_count(int(FAILED))
    expect(ada.page).to_have_url(re.compile("result=failed#requests$"))
    if ada.scripts:
        expect(ada.page.get_by_role("heading", name="Latest requests")).to_be_focused()
    ada.press("link", re.compile(r"\d\d:\d\d:\d\d"), within=lines(ada).first)
    ada.sees("The error went to the program")
    ada.page.go_back()
    expect(number(ada, "Requests")).to_have_text(FAILED)
    ada.press("link", re.compile("Result"))
    expect(number(ada, "Requests")).to_have_text(REQUESTS)


def read_chart(ada: Visitor) -> None:
    """Day by day with the arrow keys. The table below holds the same numbers, and each leads to its requests."""
    chart = ada.page.get_by_role("slider", name="Requests per day by client key")
    ada.reach(chart)
    ada.page.keyboard.press("Home")
    read = [chart.get_attribute("aria-valuetext")]
    for _ in range(DAYS - 1):
        ada.page.keyboard.press("ArrowRight")
        read.append(chart.get_attribute("aria-valuetext"))
    expect(ada.page.locator(".tip")).to_contain_text("web-app3notebook1")
    ada.page.get_by_text("The chart’s numbers as a table").click()
    rows = ada.page.locator("#daily tbody tr")
    cells = [row.locator("th, td").all_inner_texts() for row in rows.all()]
    assert read == [f"{day}, {total}" for day, *_, total in cells]
    assert all(int(total) == int(web_app) + int(notebook) for _, web_app, notebook, total in cells)
    assert sum(int(total) for *_, total in cells) == int(REQUESTS)
    ada.look()
    rows.last.get_by_role("link", name="3", exact=True).click()
    expect(number(ada, "Requests")).to_have_text("3")
    expect(lines(ada)).to_have_count(3)


def take_csv(ada: Visitor) -> None:
    """It holds what the screen shows."""
    ada.press("link", "7 days")
    expect(number(ada, "Requests")).not_to_have_text("3")
    with ada.page.expect_download() as download:
        ada.press("link", "Export CSV")
    with download.value.path().open(newline="") as file:
        asked = [int(row["requests"]) for row in csv.DictReader(file)]
    assert str(sum(asked)) == number(ada, "Requests").inner_text()


def test_a_member_sees_totals_and_their_own(keyhold: Server, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    ada = see_usage(keyhold, visit, tmp_path)
    bob = visit(f"{keyhold.url}/signin/")
    bob.write("Email", "bob@example.com")
    bob.write("Password", PASSWORD)
    bob.press("button", "Sign in")
    bob.press("link", "Usage")
    expect(number(bob, "Requests")).to_have_text(number(ada, "Requests").inner_text())
    bob.press("link", "Client key", within=breakdown(bob))
    expect(bob.page.get_by_role("rowheader", name="Other people’s keys")).to_be_visible()
    expect(bob.page.get_by_role("heading", name="Your latest requests")).to_be_visible()
    expect(lines(bob).filter(has_text="notebook")).to_have_count(lines(bob).count())
    for other in ("web-app", "Ada"):
        assert other not in bob.page.content()
    bob.look()
    ada.page.goto(f"{keyhold.url}/o/acme/settings/")
    ada.page.get_by_label("Let members see whose usage is whose").check()
    ada.press("button", "Save what members may do")
    ada.sees("Your settings are saved.")
    bob.page.reload()
    expect(bob.page.get_by_role("rowheader", name="web-app")).to_be_visible()
