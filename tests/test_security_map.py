"""docs/security.md says which test proves what. It may name no test that is not there, and leave nothing out."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/security.md").read_text()
ROWS = dict(re.findall(r"^\| ([AF]?\d+) \| (.+) \|$", PAGE, flags=re.M))
NAMED = re.findall(r"`([\w/]+)::(test_\w+)`", PAGE)


@cache
def named_in(name: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / f"{name}.py").read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_requirement_and_every_finding_has_a_row() -> None:
    assert set(ROWS) == {str(number) for number in range(1, 69)} | {f"F{number}" for number in range(1, 15)}


def test_every_row_names_its_tests_or_says_that_it_is_open() -> None:
    assert not [number for number, row in ROWS.items() if "::test_" not in row and not re.search(r"open: |no such ", row)]


def test_every_named_test_exists() -> None:
    assert not [f"{file}::{test}" for file, test in NAMED if test not in named_in(file)]
