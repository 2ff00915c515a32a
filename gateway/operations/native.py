"""/native/<provider>/<path>: a request in a provider's own words, read as far as the gateway must."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote, unquote_plus

import msgspec

from gateway.errors import Refusal, bad_request
from gateway.exchange import ClientGone
from gateway.operations import bodies
from gateway.operations.plain import PassedStream, answered
from gateway.operations.uploads import Form
from gateway.speech import Fetch, Speech
from gateway.spool import Spool
from keys import client_keys
from keys.preferences import NONE, Preferences
from keys.providers import PROVIDERS, Credential, Outbound, Provider, Shape, Wire, azure
from keys.providers.requests import outbound

PREFIX = "/native/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
NOT_OFFERED = frozenset({("bedrock", "sts"), ("vertex", "token")})
"""Services that give out credentials: the gateway's own business."""

SEGMENTS = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]|-]|%[0-9A-Fa-f]{2})*")
MOST_ENCODINGS = 3
CONTROLS = re.compile(r"[\x00-\x1f\x7f\\]")

CREDENTIAL_PLACES = frozenset(
    "api-token api-tokens api-key api-keys admin-api-keys auth-token auth-tokens generate-auth-token revoke-auth-token "
    "scoped-jwt client-secret client-secrets service-accounts secret secrets keys tokens".split()
)
"""Names in a provider's paths behind which keys are listed, made or taken back. Programs have no business there."""
CREDENTIAL_PATHS = re.compile(r"(?:^|/)(?:realtime|realtimeapi|chatkit)/(?:transcription_)?sessions(?:/|$)")
CREDENTIAL_PARAMETERS = frozenset(
    "key api-key apikey x-api-key x-goog-api-key fal-key subscription-key ocp-apim-subscription-key access-key "
    "access-token oauth-token auth-token token fal-jwt-token jwt auth authorization bearer bearer-token secret password "
    "signature sig x-amz-signature x-amz-credential x-amz-security-token x-amz-algorithm x-goog-signature "
    "x-goog-credential $httpheaders".split()
)

DIALECTS = {
    "chat": re.compile(r"(?:^|/)completions/?$", re.IGNORECASE),
    "messages": re.compile(r"(?:^|/)messages/?$|:(?:raw|streamRaw)Predict$", re.IGNORECASE),
    "responses": re.compile(r"(?:^|/)responses/?$", re.IGNORECASE),
    "google": re.compile(r":(?:generate|streamGenerate)Content$", re.IGNORECASE),
    "frames": re.compile(r"^model/.+/(?:converse|converse-stream|invoke|invoke-with-response-stream)$", re.IGNORECASE),
    "plain": re.compile(
        r"(?:^|/)(?:embeddings|images/(?:generations|edits)|audio/(?:transcriptions|translations))/?$", re.IGNORECASE
    ),
}
"""Some providers, Azure among them, do not mind capitals, or a slash at the end."""
STREAMS = re.compile(r"-stream$|:stream[A-Z]\w+$")
MODELS: Mapping[str, re.Pattern[str]] = {
    "bedrock": re.compile(r"^model/(?P<model>.+)/[^/]+$"),
    "aistudio": re.compile(r"(?:^|/)models/(?P<model>[^/:]+)"),
    "vertex": re.compile(r"(?:^|/)models/(?P<model>[^/:]+)"),
    "azure": re.compile(r"(?:^|/)deployments/(?P<model>[^/]+)", re.IGNORECASE),
    "deepinfra": re.compile(r"^v1/inference/(?P<model>[^/]+/[^/]+)$"),
    "fal": re.compile(r"^(?!models(?:/|$))(?P<model>[^/]+/.+?)(?:/requests(?:/.*)?)?$"),
    "pollo": re.compile(r"^generation/(?P<model>(?!task/)[^/]+/(?!status$)[^/]+)$"),
}
"""Where a provider's paths name the model, or what stands for one."""
PLAIN_SEGMENT = re.compile(r"[a-z_-]+|v[0-9]+(?:alpha|beta)?[0-9]*")


class Said(msgspec.Struct):
    """What a JSON body says to us. Providers have five names for the longest answer, some of them within another member."""

    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    generation_config: Any = msgspec.field(name="generationConfig", default=None)
    inference_config: Any = msgspec.field(name="inferenceConfig", default=None)

    @property
    def longest(self) -> int:
        """Tokens; 0 where nothing sensible is said."""
        inner = (within(self.generation_config, "maxOutputTokens"), within(self.inference_config, "maxTokens"))
        return greatest(0, self.max_completion_tokens, self.max_tokens, self.max_output_tokens, *inner)

    @property
    def answers(self) -> int:
        return greatest(1, self.n, self.best_of, within(self.generation_config, "candidateCount"))


def within(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, dict) else None


def greatest(least: int, *said: Any) -> int:
    """Of what is a number; what is none says nothing."""
    return max(least, *(number for number in said if type(number) is int), least)


@dataclass(frozen=True, slots=True)
class Target:
    """What lies behind /native/. `path` and `query` are spelled as the client spelled them, `plain` is the path in plain text."""

    provider: Provider
    service: str
    path: str = ""
    query: str = ""
    plain: str = ""


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """`dialect` is one of DIALECTS where tokens are counted, else nothing. `makes` tells that it may make what costs."""

    method: str
    target: Target
    body: bytes | Spool
    model: str
    stream: bool
    dialect: str
    max_tokens: int = 0
    answers: int = 1

    operation: ClassVar[str] = "native"
    wishes: ClassVar[Preferences] = NONE

    @property
    def size(self) -> int:
        """Bytes that are words. What else costs money cannot be told from its length."""
        return len(self.body) if self.dialect and isinstance(self.body, bytes) else 0

    @property
    def makes(self) -> bool:
        return self.method in ("POST", "PATCH")

    async def speech(self, provider: Provider, wire: Wire, native_model: str, fetch: Fetch) -> Speech:
        if isinstance(self.body, bytes):
            return Speech(self.body, answered, PassedStream)
        return Speech(self.body.pieces(), answered, PassedStream, headers={"content-length": str(self.body.size)})

    def outbound(self, credential: Credential, overrides: Mapping[str, str], deployment: int | None) -> Outbound:
        """Azure's paths lie below the resource, everyone else's below the base URL of the service."""
        target = self.target
        path = f"{target.path}?{target.query}" if target.query else target.path
        if target.provider.shape is not Shape.AZURE:
            return outbound(
                target.provider, credential, path=path, overrides=overrides, method=self.method, service=target.service
            )
        number, override = deployment or 0, overrides.get("azure")
        base = azure.read(credential.public["deployments"][number]["endpoint_url"]).resource if override is None else override
        headers = {"api-key": credential.secret["api_keys"][number]}
        return Outbound(self.method, f"{base.rstrip('/')}/{path}", headers, override is not None)

    def error_event(self, refusal: Refusal) -> bytes:
        """The connection is cut instead, as the provider cut its own."""
        raise ClientGone


# The address


def read_provider(path: str) -> Target:
    """Whose API is meant, of a path such as /native/fal:queue/…. Raises Refusal."""
    name = unquote(path.removeprefix(PREFIX).partition("/")[0])
    slug, colon, service = name.partition(":")
    provider = PROVIDERS.get(slug)
    known = provider is not None and (service in provider.services or (not service and provider.shape is Shape.AZURE))
    if provider is None or not known or (colon and not service) or (slug, service) in NOT_OFFERED:
        raise Refusal(
            404, "unknown_path", f"There is no provider or service {name[:60]!r} here. Try one of: {', '.join(names())}."
        )
    return Target(provider, service)


def names() -> list[str]:
    """Every provider and service that can stand behind /native/."""
    services = [(slug, service) for slug, provider in PROVIDERS.items() for service in provider.services or ("",)]
    return [f"{slug}:{service}" if service else slug for slug, service in services if (slug, service) not in NOT_OFFERED]


def read_target(target: Target, raw_path: bytes, query: bytes) -> Target:
    """The rest of the address. Raises Refusal for what could lead elsewhere than it seems, or holds a credential."""
    path = raw_path.decode("latin-1").removeprefix(PREFIX).partition("/")[2]
    asked = query.decode("latin-1")
    if not raw_path.startswith(PREFIX.encode()) or not SEGMENTS.fullmatch(path):
        raise bad_request("The path holds a character that must be percent-encoded.")
    if not QUERY.fullmatch(asked):
        raise bad_request("The query holds a character that must be percent-encoded.")
    plain = read_path(path)
    read_query(asked)
    return Target(target.provider, target.service, path, asked, plain)


def read_path(path: str) -> str:
    """In plain text. Raises Refusal."""
    spellings = spellings_of(path)
    for spelling in spellings:
        segments = re.split(r"[/\\]", spelling)
        inner = segments[:-1] if len(segments) > 1 else []
        if CONTROLS.search(spelling) or "" in inner or any(segment.partition(";")[0] in (".", "..") for segment in segments):
            raise bad_request("The path may not hold .. or . or // or a backslash, however they are spelled.")
        if client_keys.PREFIX in spelling:
            raise bad_request("The path holds a client key. Send it in a header.")
    plainest = spellings[-1].lower()
    if CREDENTIAL_PATHS.search(plainest) or CREDENTIAL_PLACES & set(re.split(r"[/:]", plainest.replace("_", "-"))):
        raise Refusal(403, "not_for_programs", "Keys and tokens of a provider are not managed through the gateway.")
    return spellings[1] if len(spellings) > 1 else path


def spellings_of(path: str) -> list[str]:
    """As it came, decoded, and decoded again while that changes anything. Raises Refusal where it goes on."""
    spellings = [path]
    try:
        while (decoded := unquote(spellings[-1], errors="strict")) != spellings[-1]:
            spellings.append(decoded)
            if len(spellings) > MOST_ENCODINGS:
                raise bad_request("The path is percent-encoded too many times.")
    except UnicodeDecodeError:
        raise bad_request("The path must be percent-encoded UTF-8.") from None
    return spellings


def read_query(query: str) -> None:
    """Raises Refusal for a credential: addresses end in logs."""
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        plain = unquote_plus(name).strip()
        if plain.lower().replace("_", "-") in CREDENTIAL_PARAMETERS or client_keys.PREFIX in unquote(value):
            raise bad_request(
                f"`{plain[:40]}` is no place for a key: addresses end in logs. Send it in a header.", param=plain[:40]
            )


# The rest of the request


def read_request(method: str, target: Target, body: bytes | Spool, form: Form | None = None) -> NativeRequest:
    """`form`, where the body is one, was read while it arrived."""
    said = read_body(body, form)
    dialect = dialect_of(method, target)
    return NativeRequest(
        method=method,
        target=target,
        body=body,
        model=model_of(target, said.model),
        stream=said.stream is True or bool(STREAMS.search(target.plain)),
        dialect=dialect,
        max_tokens=said.longest if dialect else 0,
        answers=said.answers if dialect else 1,
    )


def dialect_of(method: str, target: Target) -> str:
    return next((name for name, path in DIALECTS.items() if path.search(target.plain)), "") if method == "POST" else ""


def read_body(body: bytes | Spool, form: Form | None) -> Said:
    """What cannot be read says nothing: the provider will have words for it."""
    if form:
        form.end()
        return Said(form.model, form.stream)
    if not isinstance(body, bytes):
        return Said()
    try:
        return msgspec.json.decode(body, type=Said)
    except (msgspec.DecodeError, RecursionError):
        return Said()


def model_of(target: Target, said: Any) -> str:
    """For the journal: the model that the path or the body names, else the beginning of the path, without anyone's ids."""
    pattern = MODELS.get(target.provider.slug)
    found = pattern.search(target.plain) if pattern else None
    named = found["model"] if found else said
    if isinstance(named, str) and named and named.isprintable() and len(named) <= bodies.MODEL_LENGTH:
        return named
    place: list[str] = []
    for segment in target.plain.split("/"):
        if not PLAIN_SEGMENT.fullmatch(segment):
            break
        place.append(segment)
    return "/".join(place)[: bodies.MODEL_LENGTH] or target.provider.slug
