"""JSON as people paste it: the first mistake is named with its line, and nothing that was pasted is repeated."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.json_source import JsonError, parse

NAMES = ("model_slug", "endpoint_url", "api_key", "model_id")
TWO = """[
  {
    "model_slug": "openai/gpt-4o",
    "api_key": "one"
  },
  {
    "model_slug": "openai/o3-mini",
    "endpoint_url": "https://x.openai.azure.com",
    "api_key": "two"
  }
]"""


def test_values_keep_the_lines_they_were_on() -> None:
    source = parse(TWO)
    assert source.value == json.loads(TWO)
    assert [source.line(), source.line(0), source.line(1)] == [1, 2, 6]
    assert source.line(1, "api_key") == 9


def test_a_missing_part_is_on_the_line_of_what_should_hold_it() -> None:
    assert parse(TWO).line(0, "endpoint_url") == 2
    assert parse(TWO).line(7, "api_key") == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('azure.com",', 'azure.com"', 'Line 8: a comma is missing after `"endpoint_url"`.'),
        ("  },\n", "  }\n", "Line 5: a comma is missing after }."),
        ('"one"', '"one",', 'Line 4: remove the comma after `"api_key"`; nothing follows it.'),
        ("  }\n]", "  },\n]", "Line 10: remove the comma after }; nothing follows it."),
        ('o3-mini",', 'o3-mini",,', "Line 7: there is one comma too many."),
        ('"api_key": "two"', '"api_key" "two"', 'Line 9: a colon is missing after `"api_key"`.'),
        ('"api_key": "two"', '"api_key": ', 'Line 9: a value is missing after `"api_key"`.'),
        ('"two"', '"two', 'Line 9: a closing quote (") is missing.'),
        ('"two"', "'two'", 'Line 9: use double quotes (") and not single ones.'),
        ('"two"', "“two”", 'Line 9: this is a curly quote. Use a straight one (").'),
        ('"two"', "two", 'Line 9: put double quotes (") around this value.'),
        ('"two"', 't"wo"', 'Line 9: put double quotes (") around this value.'),
        ('"two"', '"t"wo"', "Line 9: this does not belong here. Look for a quote inside a text, or a missing comma."),
        ('"api_key": "two"', 'api_key: "two"', 'Line 9: put double quotes (") around the name of this field.'),
        ('"two"', '"t\two"', "Line 9: there is a tab or another invisible character inside the quotes. Remove it."),
        ('"two"', '\u00a0"two"', "Line 9: there is an invisible character here. Delete it and type a plain space."),
        ('"two"', '"t\\wo"', "Line 9: write a backslash inside a text twice (\\\\)."),
        ('"two"', '"\\ud800"', "Line 9: there is half a character in this text. Paste it again."),
        ('"two"', "NaN", "Line 9: JSON does not know NaN."),
        ('"two"', "-Infinity", "Line 9: JSON does not know -Infinity."),
        ('"two"', "None", "Line 9: JSON does not know None."),
        ('"two"', "1e999", "Line 9: this number is too large."),
        ('"two"', "9" * 10_000, "Line 9: this number is too large."),
        ('"two"', '"two" // mine', "Line 9: JSON has no comments. Remove this one."),
        ('"two"', '"two"; ', "Line 9: there is a character here that does not belong in JSON."),
        ('"two"', "[[[[1]]]]", "Line 9: this is nested too deeply."),
        ('  "api_key": "two"\n  }', '  "api_key": "two"\n', "Line 9: a closing } is missing for the { on line 6."),
        ("  }\n]", "  }", "Line 10: a closing ] is missing for the [ on line 1."),
        ("  }\n]", "  }\n]\n]", "Line 12: there is more text after the end of the JSON. Remove it."),
        ('"endpoint_url"', '"model_slug"', 'Line 8: `"model_slug"` appears twice, on lines 7 and 8. Keep one.'),
    ],
)
def test_a_mistake_is_named_with_its_line(before: str, after: str, message: str) -> None:
    at = TWO.rindex(before)
    with pytest.raises(JsonError) as refusal:
        parse(TWO[:at] + after + TWO[at + len(before) :], NAMES)
    assert (str(refusal.value), refusal.value.line) == (message, int(message.split()[1].rstrip(":")))
    assert refusal.value.column
    assert refusal.value.label


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("[", "Line 1: a closing ] is missing"),
        ('{"a": 1', "Line 1: a closing } is missing"),
        ("{,}", "Line 1: the name of a field is missing"),
        ('{"a": 1} {"a": 2}', "Line 1: there is more than one entry here."),
        ('{"a": 1},\n{"a": 2}', "Line 1: there is more than one entry here."),
        ("[" * 100_000, "This is larger than 32 kB."),
        ("[" * 10_000, "Line 1: this is nested too deeply."),
        ('{"a": 1, "a": 2}', "Line 1: a field appears twice. Keep one."),
    ],
)
def test_what_ends_or_starts_wrongly_is_refused(text: str, start: str) -> None:
    with pytest.raises(JsonError) as refusal:
        parse(text)
    assert str(refusal.value).startswith(start)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    assert parse('\ufeff{\r\n"a": "b"\r\n}').line("a") == 2


def test_a_field_is_named_only_when_the_caller_listed_it() -> None:
    text = '{"tOpSeCrEt": "tOpSeCrEt" "tOpSeCrEt": 1}'
    with pytest.raises(JsonError) as refusal:
        parse(text, NAMES)
    assert "tOpSeCrEt" not in str(refusal.value)


LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20)
SHALLOW = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(item) for item in inner), default=0)


@given(SHALLOW.filter(lambda value: depth(value) <= 5), st.booleans(), st.sampled_from([None, 2]))
def test_it_reads_what_pythons_own_parser_reads(value: object, ascii_only: bool, indent: int | None) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent)).value == value


@given(st.text(alphabet="{}[],:\"\\ \n\t0123456789.-eEtrufalsn'“\u00a0\ud800x/"))
def test_it_accepts_no_more_than_pythons_own_parser_and_never_fails_otherwise(text: str) -> None:
    try:
        value = parse(text).value
    except JsonError:
        return
    assert json.loads(text) == value
