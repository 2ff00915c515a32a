"""What was read from an Azure array, for the table under the editor: nothing that could be a secret or needs fixing."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from keys.json_source import JsonError, Source, parse
from keys.pages.excerpt import is_public


@dataclass(frozen=True, slots=True)
class Deployment:
    """`line` is the first of its lines that needs fixing, or None."""

    model_slug: str
    endpoint: str
    model_id: str
    line: int | None

    @property
    def fix(self) -> str:
        return f"Fix line {self.line}" if self.line else ""


def read_deployments(text: str, faulty: Collection[int]) -> list[Deployment]:
    """Nothing, where the text is no JSON array. `faulty` are the lines with a problem."""
    try:
        source = parse(text)
    except JsonError:
        return []
    if not isinstance(source.value, list) or not source.value:
        return []
    ends = [source.line(index) for index in range(1, len(source.value))] + [text.count("\n") + 2]
    return [read_deployment(source, index, range(source.line(index), end), faulty) for index, end in enumerate(ends)]


def read_deployment(source: Source, index: int, lines: range, faulty: Collection[int]) -> Deployment:
    def shown(name: str) -> str:
        entry: Any = source.value[index]
        value = entry.get(name) if isinstance(entry, dict) else None
        fit = isinstance(value, str) and source.line(index, name) not in faulty and is_public(name, value)
        return str(value) if fit else ""

    first = min((line for line in faulty if line in lines), default=None)
    return Deployment(shown("model_slug"), resource(shown("endpoint_url")), shown("model_id"), first)


def resource(url: str) -> str:
    """The first label of the host: the name of the Azure resource."""
    try:
        return (urlsplit(url).hostname or "").partition(".")[0]
    except ValueError:
        return ""
