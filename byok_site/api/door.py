"""The one door of the management API: a management key, its rate, what its maker may do, and the shape of what was sent."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from byok_site.api.problems import FieldError, Refused, invalid, wait_for
from keys.actions import NameTaken, RestrictionError
from keys.actions.management_keys import find_management_key
from keys.entries import CredentialError
from keys.models import ManagementKey
from keys.pace import wait_for_call, wait_for_stranger
from orgs.access import is_kept_out
from orgs.actions import Actor, address_of
from orgs.models import Membership, Organization, User

SAFE = ("GET", "HEAD")
MOST_BYTES = 100_000
SEEN = timedelta(minutes=1)  # how exact `last_used_at` is
PLACE = re.compile(r"^(?P<message>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
FIELDS = {"expires_on": "expires_at"}  # what pages call otherwise
NO_KEY = "Send a management key as Authorization: Bearer byok_admin_…"
CLIENT_KEY = "This is a client key, which calls models. Send a management key, which begins with byok_admin_."
UNKNOWN_KEY = "This management key is not valid here. It may be revoked or expired, or whoever made it may have left."
FORBIDDEN = "This key may do what its maker may do, and they may not do this."
CHANGED = "It is no longer what you looked at. Read it again, and send the ETag that comes with it as If-Match."
UNSAID = "It is there already. Send the ETag that you read as If-Match, or * to write over whatever is there."
TWICE = "Say each parameter once."
EXISTS = "It is there already."
BEING_DELETED = "This organization is being deleted, so it can only be read. An owner can keep it, in its settings."
NO_SECOND_FACTOR = "This organization wants everyone to have a second factor, and whoever made this key has none."


@dataclass(frozen=True, slots=True)
class Answer:
    body: Any = None
    status: int = 200
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a program, let in."""

    request: HttpRequest
    key: ManagementKey
    user: User
    by: Actor

    @property
    def organization(self) -> Organization:
        return self.key.organization

    def may(self, permission: str) -> bool:
        return self.user.has_perm(permission, self.organization)

    def match(self, current: str | None) -> None:
        """Refuses to write over what the program has not seen. current: the ETag of what is there, None for nothing."""
        wanted, unwanted = self.request.headers.get("If-Match"), self.request.headers.get("If-None-Match")
        if current is not None and unwanted == "*":
            raise Refused(412, "exists", EXISTS)
        if current is not None and wanted is None:
            raise Refused(428, "if_match_missing", UNSAID)
        if wanted is not None and (current is None or not {"*", current} & {tag.strip() for tag in wanted.split(",")}):
            raise Refused(412, "changed", CHANGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a method does at an address. body, query: what is read into them; the document is written from the same."""

    summary: str
    permission: str
    run: Callable[..., Answer]
    answers: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    conditional: bool = False
    statuses: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Route:
    """path: with {parts}. A part called `name` may hold slashes, as names may."""

    path: str
    name: str
    operations: Mapping[str, Operation] = field(default_factory=dict)


def etag(*values: Any) -> str:
    return f'"{hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:32]}"'


def view_of(route: Route) -> Callable[..., HttpResponse]:
    @csrf_exempt  # there is no cookie in it
    @login_not_required
    @never_cache
    def answer(request: HttpRequest, **parts: str) -> HttpResponse:
        try:
            return respond(request, route, parts)
        except Refused as refused:
            return refused.response

    return answer


def respond(request: HttpRequest, route: Route, parts: Mapping[str, str]) -> HttpResponse:
    operation = route.operations.get("GET" if request.method == "HEAD" else str(request.method))
    if operation is None:
        raise not_allowed(route.operations)
    call = enter(request)
    if not call.may(operation.permission):
        raise Refused(403, "forbidden", FORBIDDEN)
    if call.organization.delete_at and request.method not in SAFE:
        raise Refused(409, "being_deleted", BEING_DELETED)
    done = run(operation, call, {**parts, **read(operation, request)})
    content = b"" if done.body is None else msgspec.json.encode(done.body)
    response = HttpResponse(content, status=done.status, content_type="application/json")
    if done.body is None:
        del response.headers["Content-Type"]
    if done.etag:
        response.headers["ETag"] = done.etag
    return response


def not_allowed(methods: Iterable[str]) -> Refused:
    allowed = ", ".join(methods)
    return Refused(405, "method_not_allowed", f"This address knows {allowed}.", headers={"Allow": allowed})


@sensitive_variables()
def run(operation: Operation, call: Call, said: Mapping[str, Any]) -> Answer:
    """What actions refuse is told of the field that it is about."""
    try:
        return operation.run(call, **said)
    except RestrictionError as refusal:
        raise invalid(FIELDS.get(refusal.field, refusal.field), *refusal.problems) from None
    except NameTaken as taken:
        raise invalid("name", str(taken), code="name_taken") from None
    except CredentialError as refusal:
        errors = [FieldError(f"credential.{problem.field}".rstrip("."), problem.message) for problem in refusal.problems]
        raise Refused(422, "invalid", str(refusal), errors) from None


@sensitive_variables()
def enter(request: HttpRequest) -> Call:
    """Whose key it is. Its maker's role counts as it is now."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    key = find_management_key(text.strip(), timezone.now()) if scheme.lower() == "bearer" else None
    maker = membership_of_maker(key) if key else None
    if key is None or maker is None:
        raise stranger(request, text)
    if seconds := wait_for_call(key.pk):
        raise wait_for(seconds, f"This key has made too many calls in this minute. Call again in {seconds} seconds.")
    if is_kept_out(maker):
        raise Refused(403, "second_factor_missing", NO_SECOND_FACTOR)
    note_use(key)
    by = Actor(label=f"{maker.user} by the management key {key.name}"[:120], user=maker.user, address=address_of(request))
    return Call(request, key, maker.user, by)


def membership_of_maker(key: ManagementKey) -> Membership | None:
    """None when they have left, or may not sign in."""
    members = Membership.objects.for_org(key.organization).select_related("organization", "user")
    return members.filter(user=key.created_by_id, user__is_active=True).first()


def stranger(request: HttpRequest, text: str) -> Refused:
    if seconds := wait_for_stranger(address_of(request) or ""):
        return wait_for(seconds, f"Too many calls without a valid key. Call again in {seconds} seconds.")
    said = CLIENT_KEY if text.startswith("byok_live_") else UNKNOWN_KEY if text else NO_KEY
    return Refused(401, "unauthorized", said, headers={"WWW-Authenticate": "Bearer"})


def note_use(key: ManagementKey) -> None:
    now = timezone.now()
    before = Q(last_used_at=None) | Q(last_used_at__lt=now - SEEN)
    ManagementKey.objects.filter(before, pk=key.pk).update(last_used_at=now)


@sensitive_variables()
def read(operation: Operation, request: HttpRequest) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if operation.query:
        if twice := [name for name, values in request.GET.lists() if len(values) > 1]:
            raise Refused(400, "invalid", TWICE, [FieldError(name, TWICE) for name in twice if name.isidentifier()])
        try:
            said["query"] = msgspec.convert(request.GET.dict(), operation.query, strict=False)
        except msgspec.ValidationError as error:
            raise mismatch(400, error) from None
    if operation.body:
        said["body"] = body_of(request, operation.body)
    return said


@sensitive_variables()
def body_of(request: HttpRequest, kind: type[msgspec.Struct]) -> Any:
    if request.content_type != "application/json":
        raise Refused(415, "not_json", "Send the body as application/json.")
    content = request.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Refused(413, "too_large", f"A body has at most {MOST_BYTES:,} bytes.")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise mismatch(422, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "malformed", "The body is not JSON.") from None


def mismatch(status: int, error: msgspec.ValidationError) -> Refused:
    """Words about types and our own names. What was sent may be a secret in the wrong place."""
    found = PLACE.match(str(error))
    where, message = (found["where"] or "$", found["message"]) if found else ("$", "")
    message = re.sub(r" (?:'.*'|\".*\")$", "", message, flags=re.DOTALL)
    named = re.search(r"(?:missing required|contains unknown) field `([a-z_]{1,30})`", message)
    if "unknown field" in message and not named:
        message = "There is a field that is not known here"
    place = ".".join(part for part in (where.removeprefix("$").lstrip("."), named[1] if named else "") if part)
    return Refused(status, "invalid", f"{message}.", [FieldError(place, f"{message}.")])
