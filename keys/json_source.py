"""Reads JSON that a person pasted: strict, small, and able to say on which line what is wrong.

Python's own parser accepts duplicate names, NaN and lone surrogates, and forgets lines; so this one reads by itself.
A message never repeats a value and names a field only when the caller listed it, for values may be secrets.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_BYTES = 32 * 1024
MAX_DEPTH = 5
MAX_NUMBER = 20  # characters

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<mark>[\[\]{},:])
      | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
      | (?P<word>-?[A-Za-z0-9_$][\w$.+-]*)""",
    re.VERBOSE | re.ASCII,
)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
WORDS = {"true": True, "false": False, "null": None}
FOREIGN = {"True", "False", "None", "NaN", "nan", "Infinity", "-Infinity", "undefined"}
CLOSING = {"{": "}", "[": "]"}


class JsonError(ValueError):
    """What is wrong, with its place in front of it. `label` is one to three words for the margin."""

    def __init__(self, problem: str, line: int | None, column: int | None, label: str) -> None:
        super().__init__(f"Line {line}: {problem}" if line else problem)
        self.line, self.column, self.label = line, column, label


@dataclass(frozen=True, slots=True)
class Source:
    """The value that was read, and the line on which each part of it starts."""

    value: Any
    lines: Mapping[tuple[str | int, ...], int]

    def line(self, *path: str | int) -> int:
        """The line of a part, as in line(1, "api_key"); of what should hold it when the part is missing."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class Token(NamedTuple):
    kind: str  # string, word, end, or the punctuation mark itself
    text: str
    line: int
    column: int


def parse(text: str, names: Collection[str] = ()) -> Source:
    """Raises JsonError. `names` are the fields that messages may mention."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise JsonError(
            f"This is larger than {MAX_BYTES // 1024} kB. Paste only the JSON that is asked for.", None, None, "Too large"
        )
    return Reader(text.removeprefix("\ufeff"), names).document()


def tokens(text: str) -> Iterator[Token]:
    at, line, line_start = 0, 1, 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise stray(text[at:], line, at - line_start + 1)
        kind, piece = str(found.lastgroup), found.group()
        if kind == "space":
            if breaks := piece.count("\n"):
                line, line_start = line + breaks, at + piece.rindex("\n") + 1
        else:
            yield Token(piece if kind == "mark" else kind, piece, line, at - line_start + 1)
        at = found.end()
    yield Token("end", "", line, at - line_start + 1)


def stray(rest: str, line: int, column: int) -> JsonError:
    """What to say of text that starts no token."""
    first = rest[0]
    if first == '"':
        inside = re.match(r'"(?:[^"\\\x00-\x1f]|\\.)*', rest)
        if inside and rest[inside.end() : inside.end() + 1] not in ("", "\n", "\r"):
            return JsonError(
                "there is a tab or another invisible character inside the quotes. Remove it.", line, column, "Invisible"
            )
        return JsonError('a closing quote (") is missing.', line, column, "Quote missing")
    if first in "“”„‟«»":
        return JsonError('this is a curly quote. Use a straight one (").', line, column, "Curly quote")
    if first in "'`‘’":
        return JsonError('use double quotes (") and not single ones.', line, column, "Single quote")
    if rest.startswith(("//", "/*", "#")):
        return JsonError("JSON has no comments. Remove this one.", line, column, "Comment")
    if first.isspace() or not first.isprintable():
        return JsonError("there is an invisible character here. Delete it and type a plain space.", line, column, "Invisible")
    return JsonError("there is a character here that does not belong in JSON.", line, column, "Stray text")


class Reader:
    """One pass over the tokens. `names` may be mentioned in messages."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.names = names
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.rest = tokens(text)
        self.last = Token("start", "", 1, 1)
        self.next = next(self.rest)

    def take(self) -> Token:
        self.last, self.next = self.next, next(self.rest, self.next)
        return self.last

    def fail(self, problem: str, label: str, at: Token | None = None) -> JsonError:
        at = at or self.next
        return JsonError(problem, at.line, at.column, label)

    def quoted(self, name: str | None, otherwise: str = "") -> str:
        return f'`"{name}"`' if name in self.names else otherwise

    def document(self) -> Source:
        value = self.value((), None)
        if self.next.kind == "end":
            return Source(value, self.lines)
        if isinstance(value, dict) and self.next.kind in ("{", ","):
            raise self.fail(
                "there is more than one entry here. Put all of them inside [ and ], with commas between.", "Needs [ ]"
            )
        raise self.fail("there is more text after the end of the JSON. Remove it.", "Stray text")

    def value(self, path: tuple[str | int, ...], name: str | None) -> Any:
        """`name` is the field whose value this is."""
        token = self.next
        self.lines.setdefault(path, token.line)
        if token.kind in CLOSING:
            if len(path) >= MAX_DEPTH:
                raise self.fail("this is nested too deeply.", "Too deep")
            return self.object(path, self.take()) if token.kind == "{" else self.array(path, self.take())
        if token.kind == "string":
            return self.string(self.take())
        if token.kind == "word":
            return self.word(self.take())
        raise self.fail(
            f"a value is missing after {self.quoted(name, 'this')}.", "Value missing", self.last if name else self.next
        )

    def object(self, path: tuple[str | int, ...], opened: Token) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while self.next.kind != "}":
            name = self.name(opened)
            line = self.last.line
            if name in result:
                first = self.lines[*path, name]
                where = f"twice, on lines {first} and {line}" if first != line else "twice"
                raise self.fail(f"{self.quoted(name, 'a field')} appears {where}. Keep one.", "Twice", self.last)
            self.lines[*path, name] = line
            if self.next.kind != ":":
                raise self.fail(f"a colon is missing after {self.quoted(name, 'this text')}.", "Colon missing", self.last)
            self.take()
            result[name] = self.value((*path, name), name)
            self.separator(opened, self.quoted(name, "this value"))
        self.take()
        return result

    def array(self, path: tuple[str | int, ...], opened: Token) -> list[Any]:
        result: list[Any] = []
        while self.next.kind != "]":
            if self.next.kind == "end":
                raise self.unclosed(opened)
            result.append(self.value((*path, len(result)), None))
            self.separator(opened, self.last.kind if self.last.kind in ("}", "]") else "this value")
        self.take()
        return result

    def separator(self, opened: Token, what: str) -> None:
        """A comma with something after it, or nothing before the closing bracket."""
        closing = CLOSING[opened.kind]
        if self.next.kind == ",":
            comma = self.take()
            if self.next.kind == closing:
                raise self.fail(f"remove the comma after {what}; nothing follows it.", "Extra comma", comma)
            if self.next.kind == ",":
                raise self.fail("there is one comma too many.", "Extra comma")
        elif self.next.kind in ("}", "]", "end") and self.next.kind != closing:
            raise self.unclosed(opened)
        elif self.next.kind in ("string", "{", "["):
            raise self.fail(f"a comma is missing after {what}.", "Comma missing", self.last)
        elif self.next.kind != closing:
            raise self.fail("this does not belong here. Look for a quote inside a text, or a missing comma.", "Stray text")

    def unclosed(self, opened: Token) -> JsonError:
        closing = CLOSING[opened.kind]
        return self.fail(
            f"a closing {closing} is missing for the {opened.kind} on line {opened.line}.", f"{closing} missing", self.last
        )

    def name(self, opened: Token) -> str:
        if self.next.kind == "string":
            return self.string(self.take())
        if self.next.kind == "end":
            raise self.unclosed(opened)
        if self.next.kind == "word":
            raise self.fail('put double quotes (") around the name of this field.', "Needs quotes")
        raise self.fail("the name of a field is missing here.", "Name missing")

    def string(self, token: Token) -> str:
        try:
            value = str(json.loads(token.text))
            value.encode()
        except UnicodeEncodeError:
            raise self.fail("there is half a character in this text. Paste it again.", "Broken text", token) from None
        except ValueError:
            raise self.fail("write a backslash inside a text twice (\\\\).", "Backslash", token) from None
        return value

    def word(self, token: Token) -> Any:
        if token.text in WORDS:
            return WORDS[token.text]
        if NUMBER.fullmatch(token.text):
            return self.number(token)
        if token.text in FOREIGN:
            raise self.fail(f"JSON does not know {token.text}.", "Not JSON", token)
        raise self.fail('put double quotes (") around this value.', "Needs quotes", token)

    def number(self, token: Token) -> float:
        if len(token.text) > MAX_NUMBER or not math.isfinite(float(token.text)):
            raise self.fail("this number is too large.", "Too large", token)
        return float(token.text) if set(token.text) & set(".eE") else int(token.text)
