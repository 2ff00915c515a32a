"""What is shown of pasted JSON round an error: enough to find it, never a secret, however the text is broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.pages.excerpt import around, mask
from keys.pages.reading import read_deployments
from tests.submissions import deployment

CANARY = "CaNaRy7Q2hX9vK4mR8tW3zB6nD1fG5jL0pS"
GOOD = json.dumps([deployment(CANARY), deployment(CANARY, "o3-mini")], indent=2)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('    "endpoint_url": "acme.openai.azure.com",', '    "endpoint_url": "acme.openai.azure.com",'),
        ('"model_slug": "openai/gpt-4o"', '"model_slug": "openai/gpt-4o"'),
        (f'"api_key": "{CANARY}",', '"api_key": "••••",'),
        (f'"api_key": {CANARY}', '"api_key": ••••'),
        (f'"model_id": "{CANARY}"', '"model_id": "••••"'),
        (f'"endpoint_url": "https://acme.openai.azure.com/?key={CANARY}"', '"endpoint_url": "••••"'),
        ("“api_key”: “secret”", "••••: ••••"),
    ],
)
def test_only_what_is_public_by_name_and_form_is_shown(line: str, shown: str) -> None:
    assert mask(line) == shown


def test_an_excerpt_holds_each_hit_with_its_neighbors_once() -> None:
    assert [(line.number, line.hit) for line in around("a\nb\nc\nd\ne", {1, 3})] == [(1, True), (2, False), (3, True), (4, False)]


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.text('"\\:,{}[]\n _x', max_size=3)), max_size=6))
def test_no_breakage_uncovers_a_secret(edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for at, cut, put in edits:
        text = text[:at] + put + text[at + cut :]
    shown = "\n".join(line.text for line in around(text, range(1, text.count("\n") + 2)))
    assert not any(CANARY[start : start + 20] in shown for start in range(len(CANARY) - 19))


def test_the_table_shows_no_value_that_could_be_a_secret_or_is_on_a_faulty_line() -> None:
    swapped = [deployment("gpt-4o", "gpt-4o") | {"model_id": CANARY}, deployment(CANARY)]
    first, second = read_deployments(json.dumps(swapped, indent=2), {10})
    assert (first.model_slug, first.endpoint, first.model_id, first.fix) == ("openai/gpt-4o", "acme-weu", "", "")
    assert (second.model_slug, second.endpoint, second.model_id, second.fix) == ("openai/gpt-4o", "", "gpt-4o", "Fix line 10")
