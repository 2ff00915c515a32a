"""What a person typed or pasted for a credential, part by part, and the problems found in it.

No problem repeats what was entered, unless it is one of our own placeholders or has the form of something public.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from keys import json_source
from keys.json_source import Source

QUOTES = "\"'`“”„‘’«»"
MAX_KEY = 512
PLACEHOLDERS = ("ENDPOINT-URL", "API-KEY", "your-aws-access-key-id", "your-aws-secret-access-key", "your-aws-region")
PLACEHOLDER = re.compile(
    r"<[^<>]*>|\[[\w -]+\]|\$?\{+[\w -]+\}+|your[-_ ].*|x{3,8}|api[-_ ]?key|endpoint[-_ ]?url", re.IGNORECASE | re.DOTALL
)
SPELLED_LIKE_A_NAME = re.compile(r"[A-Za-z_ -]{1,40}")

# What gets pasted along with a key, and what to say of it.
FLAWS = tuple(
    (re.compile(pattern), sentence, label)
    for pattern, sentence, label in (
        (
            r"(?:export\s+|set\s+|\$env:)?[A-Za-z]\w*?(?:KEY|TOKEN|SECRET|key|token|secret)\w*(?:\s*=\s*[^=\s]|:\s+\S)",
            "has the name of a setting in front of it. Paste only what follows the = sign.",
            "Only the key",
        ),
        (
            r"(?i)(?:authorization\s*:\s*)?(?:bearer|key|api-key)\s+\S|(?:authorization|[a-z-]*api-key)\s*:",
            "has a word of the request in front of it, such as “Bearer”. Paste only the key that follows.",
            "Only the key",
        ),
        (r"[\[{]", "is JSON. Paste only the key that is inside it.", "Only the key"),
        (r".*(?:…|•|\*{3}|\.{3})", "is a shortened copy. Copy the whole key; many pages show only its ends.", "Shortened"),
        (
            r"(?s).*[^\x21-\x7e]",
            "has a space, a line break or another character that no key has. Copy it again.",
            "Stray character",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to correct, as a whole sentence.

    field: the form's field (not the JSON's). line: of the JSON. label: one to three words for the margin.
    fix: a correction that the page may offer; "wrap" puts the text inside [ and ].
    """

    message: str
    field: str = ""
    line: int | None = None
    label: str = ""
    fix: str = ""


class CredentialError(ValueError):
    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.message for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a credential: its name in JSON, its field in the form, and the words for it."""

    name: str
    form_field: str
    words: str


@dataclass(slots=True)
class Entry:
    """The cleaned texts of one credential or deployment by name, and what is wrong or odd about them.

    With `source` they came from JSON: `form_field` holds all of it, and messages name the line and the entry's `title`.
    """

    parts: Mapping[str, Part]
    values: dict[str, str] = field(default_factory=dict, repr=False)
    source: Source | None = field(default=None, repr=False)
    form_field: str = ""
    path: tuple[int, ...] = ()
    title: str = ""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)

    def subject(self, name: str) -> str:
        return f"`{name}`" if self.source else self.parts[name].words

    def report(self, name: str, sentence: str, label: str = "") -> None:
        """`sentence` starts in lower case, for a place may come before it."""
        line = self.source.line(*self.path, name) if self.source else None
        form_field = self.form_field or self.parts[name].form_field
        self.reported.add(name)
        self.problems.append(Problem(self.placed(sentence, line), form_field, line, label))

    def warn(self, sentence: str) -> None:
        self.warnings.append(self.placed(sentence, None))

    def placed(self, sentence: str, line: int | None) -> str:
        place = ", ".join(filter(None, (f"line {line}" if line else "", self.title)))
        sentence = f"{place}: {sentence}" if place else sentence
        return sentence[0].upper() + sentence[1:]

    def require(self, name: str) -> bool:
        """Whether there is something to check under this name. Reports what is missing or still a placeholder."""
        if name in self.reported:
            return False
        text = self.values.get(name)
        if not text:
            asked = (
                f"{self.subject(name)} is {'missing' if text is None else 'empty'}."
                if self.source
                else f"enter {self.subject(name)}."
            )
            self.report(name, asked, "Missing" if text is None else "Empty")
            return False
        if not PLACEHOLDER.fullmatch(text):
            return True
        known = {placeholder.lower(): placeholder for placeholder in PLACEHOLDERS}.get(text.lower())
        what = f"`{known}` is a placeholder" if known else "this is a placeholder"
        own = f"your own `{name}`" if self.source else "your own"
        self.report(name, f"{what}. Fill in {own}.", "Fill in")
        return False

    def require_secret(self, name: str, limit: int = MAX_KEY) -> bool:
        """As `require`, for something that travels in a header: printable ASCII, and nothing pasted along with it."""
        if not self.require(name):
            return False
        text = self.values[name]
        for pattern, sentence, label in FLAWS:
            if pattern.match(text):
                self.report(name, f"{self.subject(name)} {sentence}", label)
                return False
        if len(text) > limit:
            self.report(name, f"{self.subject(name)} is longer than {limit:,} characters. Paste only the key.", "Too long")
            return False
        return True


def clean(text: str) -> str:
    """Without the spaces, line breaks and quotes around it that come along when copying."""
    previous = None
    while text != previous:
        previous, text = text, text.strip().strip("\ufeff\u200b")
        if len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
            text = text[1:-1]
    return text


def from_fields(parts: Mapping[str, Part], fields: Mapping[str, str]) -> Entry:
    """Of a form with a field for each part. Empty fields count as absent."""
    texts = {name: clean(fields.get(part.form_field, "")) for name, part in parts.items()}
    return Entry(parts, {name: text for name, text in texts.items() if text})


def read_json(text: str, parts: Mapping[str, Part], form_field: str, asked: str) -> Source:
    """Raises CredentialError. `asked` says what to paste, for when there is nothing."""
    if not text.strip():
        raise CredentialError([Problem(asked, form_field, label="Empty")])
    try:
        return json_source.parse(text, parts)
    except json_source.JsonError as error:
        raise CredentialError([Problem(str(error), form_field, error.line, error.label)]) from None


def from_object(source: Source, parts: Mapping[str, Part], form_field: str, path: tuple[int, ...] = (), title: str = "") -> Entry:
    """Of one JSON object whose values must all be texts. Unknown names and other types are reported."""
    entry = Entry(parts, {}, source, form_field, path, title)
    value = source.value
    for step in path:
        value = value[step]
    for name, item in value.items():
        if name not in parts:
            meant = meant_by(name, parts)
            entry.report(name, unknown(name, meant, parts), "Unknown field")
            entry.reported.add(meant)
        elif not isinstance(item, str):
            entry.report(name, f"`{name}` must be a text in double quotes.", "Not a text")
        else:
            entry.values[name] = clean(item)
    return entry


def meant_by(name: str, parts: Collection[str]) -> str:
    """The part whose name is nearly this, if any."""
    close = difflib.get_close_matches(squeezed(name), [squeezed(known) for known in parts], n=1, cutoff=0.75)
    return next((known for known in parts if squeezed(known) in close), "")


def unknown(name: str, meant: str, parts: Collection[str]) -> str:
    """Names it only when it is close to one we know; it could be a secret in the wrong place."""
    if meant and SPELLED_LIKE_A_NAME.fullmatch(name):
        return f"`{name}` is not a field. Did you mean `{meant}`?"
    return f"there is a field that is not known here. Known are {', '.join(f'`{known}`' for known in parts)}."


def squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[:100].lower())
