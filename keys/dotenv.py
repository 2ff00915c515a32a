"""What a .env file holds of provider keys: each told by the name of its variable and by how the key begins. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from keys.entries import clean
from keys.providers import PROVIDERS

MOST_BYTES = 32_000
SETTING = re.compile(r"\s*(?:export\s+|set\s+|\$env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]{0,59})\s*=\s*(?P<value>.*)")
UNQUOTED_COMMENT = re.compile(r"\s+#.*")
SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|CREDENTIALS?)(?:_|[0-9]|$)")
DISTINCTIVE = 4  # a start of this many characters tells more than a name
NAMES = {  # words in the names of variables; earlier ones win
    "AZURE": "azure",
    "BEDROCK": "bedrock",
    "ANTHROPIC": "anthropic",
    "CLAUDE": "anthropic",
    "GROQ": "groq",
    "GROK": "xai",
    "XAI": "xai",
    "GEMINI": "aistudio",
    "GOOGLE_AI": "aistudio",
    "GOOGLE_API": "aistudio",
    "GOOGLE_GENERATIVE_AI": "aistudio",
    "GOOGLE_APPLICATION_CREDENTIALS": "vertex",
    "VERTEX": "vertex",
    "PPLX": "perplexity",
    **{slug.upper(): slug for slug in PROVIDERS},
}
AZURE = "An Azure key needs its deployments too. Add it on its own page."
VERTEX = "This names a file. Add the file’s JSON on the page of Google Vertex AI."


@dataclass(frozen=True, slots=True)
class Found:
    """fields: as keys.credentials.parse takes them. `problem` says why it cannot be taken from here."""

    line: int
    variable: str
    provider: str
    fields: Mapping[str, str] = field(repr=False)
    problem: str = ""


def read(text: str) -> list[Found]:
    """Provider keys in the order of their lines. What is nothing of the kind is left out."""
    settings = {name: (line, value) for line, name, value in lines(text)}
    values = {name: value for name, (_, value) in settings.items()}
    return [found for name, (line, value) in settings.items() if (found := recognized(line, name, value, values))]


def lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, name and value of each setting that has a value."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := SETTING.fullmatch(line):
            raw = match["value"].strip()
            value = clean(raw if raw[:1] in ("'", '"', "{") else UNQUOTED_COMMENT.sub("", raw))
            if value:
                yield number, match["name"], value


def recognized(line: int, name: str, value: str, values: Mapping[str, str]) -> Found | None:
    if name == "AWS_ACCESS_KEY_ID":
        return Found(line, name, "bedrock", access_key(values))
    provider = provider_of(name.upper(), value)
    if provider is None or name.startswith("AWS_SECRET") or name == "AWS_SESSION_TOKEN":
        return None
    match provider:
        case "azure":
            return Found(line, name, provider, {}, AZURE)
        case "vertex" if not value.startswith("{"):
            return Found(line, name, provider, {}, VERTEX)
        case "vertex":
            return Found(line, name, provider, {"json": value})
        case "bedrock":
            return Found(line, name, provider, {"api_key": value, "region": region(values)})
    return Found(line, name, provider, {"api_key": value} | (account(values) if name == "OPENAI_API_KEY" else {}))


def provider_of(name: str, value: str) -> str | None:
    """A start that only one provider's keys have decides; then the name, if it is that of a secret."""
    starts = [(len(start), row.slug) for row in PROVIDERS.values() for start in row.prefixes if value.startswith(start)]
    length, slug = max(starts, default=(0, ""))
    if length >= DISTINCTIVE:
        return slug
    if not SECRET_NAME.search(name):
        return None
    words = f"_{name}_"
    return next((slug for word, slug in NAMES.items() if f"_{word}_" in words), None)


def access_key(values: Mapping[str, str]) -> dict[str, str]:
    named = {f"AWS_{part.upper()}": part for part in ("access_key_id", "secret_access_key", "session_token")}
    return {part: values[name] for name, part in named.items() if name in values} | {"region": region(values)}


def region(values: Mapping[str, str]) -> str:
    return values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION") or ""


def account(values: Mapping[str, str]) -> dict[str, str]:
    """What stands beside an OpenAI key under OpenAI's own names."""
    names = {"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"}
    return {part: values[name] for name, part in names.items() if name in values}
