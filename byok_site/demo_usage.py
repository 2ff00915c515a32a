"""What programs asked for in the demo. Each request goes where the gateway's own plan would have sent it."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import uuid_utils

from gateway.attempts import told
from gateway.refusals import CLOSED
from keys import routes
from keys.health import State
from keys.models import ClientKey, ProviderKey
from keys.providers.errors import ErrorClass
from keys.routing import MOST_ATTEMPTS, Candidate, Plan, RouteKey, Why, plan
from orgs.models import AuditEvent, Organization
from usage.journal import NO_KEY, Closed, Finished, Opened
from usage.models import Outcome, UsageEvent

REQUESTS_A_DAY = 110
SONNET = "anthropic/claude-sonnet-4"
STATUSES = {ErrorClass.LIMITED: 429, ErrorClass.TROUBLE: 503, ErrorClass.REFUSED: 401}
LIMITED_SHARE = {("openai", "Batch jobs"): 0.06, ("groq", "Default"): 0.03}  # of requests; of other keys fewer
FEW = 0.004


class Traffic(NamedTuple):
    """What a program asks for, and how often compared with the others."""

    client: str
    model: str
    share: int


class Staged(NamedTuple):
    """A request of the last hour. failures: of its first attempts. shown: what it is remembered as."""

    minutes: float
    client: str
    model: str
    failures: Sequence[ErrorClass] = ()
    shown: str = ""


TRAFFIC = (
    Traffic("web-app", SONNET, 30),
    Traffic("web-app", "openai/gpt-4o", 22),
    Traffic("web-app", "openai/gpt-oss-120b", 14),
    Traffic("jobs", "openai/gpt-4o-mini", 26),
    Traffic("jobs", "anthropic/claude-3.5-haiku", 8),
    Traffic("jobs", "deepseek/deepseek-v3.2", 4),
    Traffic("eu-portal", "openai/gpt-4o", 8),
    Traffic("eu-portal", "openai/o3-mini", 4),
    Traffic("notebook-priya", "openai/o3-mini", 2),
    Traffic("notebook-priya", "qwen/qwen3-32b", 2),
)
STAGED = (
    Staged(41.02, "web-app", SONNET, [ErrorClass.REFUSED]),
    Staged(26, "eu-portal", SONNET, shown="refused"),
    Staged(9, "jobs", "deepseek/deepseek-v3.2"),
    Staged(6.02, "jobs", "openai/gpt-4o-mini", [ErrorClass.LIMITED]),
    Staged(5, "notebook-priya", "openai/o3-mini"),
    Staged(4, "web-app", "openai/gpt-oss-120b"),
    Staged(3, "web-app", SONNET, [ErrorClass.TROUBLE], shown="rescued"),
    Staged(2, "web-app", "openai/gpt-4o"),
    Staged(1, "web-app", SONNET),
)


@dataclass(frozen=True)
class Span:
    """A key since it `begins`. What is off now was on before `off_at`."""

    on: RouteKey
    off: RouteKey
    begins: datetime
    off_at: datetime

    def at(self, moment: datetime) -> RouteKey:
        return self.on if moment < self.off_at else self.off


class Past:
    """The time of an organization up to `now`."""

    def __init__(self, organization: Organization, now: datetime) -> None:
        self._organization, self._now = organization, now
        self._routes = routes.of(organization)
        self._clients = {key.name: key for key in ClientKey.objects.for_org(organization).live().filter(paused_at=None)}
        self._spans = list(self._in_time())

    def _in_time(self) -> Iterator[Span]:
        begun = dict(ProviderKey.objects.for_org(self._organization).values_list("pk", "created_at"))
        turned_off = AuditEvent.objects.filter(organization=self._organization, tag="provider_key:disable").order_by("at")
        ended = dict(turned_off.values_list("target_id", "at"))
        for route in self._routes.keys:
            off_at = self._now if route.enabled else ended.get(str(route.id), self._now)
            yield Span(replace(route, enabled=True), route, begun[route.id], off_at)

    def until_now(self, days: int) -> Iterator[Finished]:
        """Since the last attempt that is booked, or in that many days: more by day, less at weekends, growing."""
        now = self._now
        last = UsageEvent.objects.filter(organization=self._organization).order_by("-started_at").first()
        first_day = now.replace(hour=0, minute=0, second=0) - timedelta(days=days - 1)
        at = max(last.started_at, first_day) if last else first_day
        dice = random.Random(at.timestamp())  # noqa: S311 (no secret comes of it)
        traffic = [each for each in TRAFFIC if each.client in self._clients]
        shares = [each.share for each in traffic]
        while traffic and (at := at + timedelta(days=dice.expovariate(REQUESTS_A_DAY * pace(at, now, days)))) < now:
            each = dice.choices(traffic, shares)[0]
            client = self._clients[each.client]
            attempts = self._request(dice, at, client, each.model) if client.created_at <= at else []
            yield from attempts if [end.closed.outcome for end in attempts] != [Outcome.REFUSED] else []  # no key had it then

    def staged(self) -> tuple[list[Finished], dict[str, str]]:
        """Requests that show something, and the ids of those to be remembered."""
        attempts, ids = [], {}
        for number, each in enumerate(STAGED):
            dice = random.Random(number)  # noqa: S311 (as above)
            at = self._now - timedelta(minutes=each.minutes)
            walk = self._request(dice, at, self._clients[each.client], each.model, each.failures)
            attempts += walk
            if each.shown:
                ids[each.shown] = walk[0].opened.request_id
        return attempts, ids

    def _request(
        self, dice: random.Random, at: datetime, client: ClientKey, model: str, failures: Sequence[ErrorClass] | None = None
    ) -> list[Finished]:
        """Its attempts. failures: None leaves them to chance."""
        planned = self._plan(at, client, model)
        head = Opened(
            id=uuid_at(at), request_id=uuid_at(at), organization_id=str(self._organization.pk), client_key_id=str(client.pk),
            member_id=client.created_by_id, provider_key_id=NO_KEY, provider="", model=model, native_model="", tier="", number=0,
            stream=dice.random() < 0.6, started_at=at.timestamp(), input_estimate=0, output_estimate=0,
            skipped=told([left for left in planned.left_out if left.why is not Why.MODEL]),
        )  # fmt: skip
        if not planned.candidates:
            return [refused(head, planned)]
        return list(walk(dice, head, planned.candidates[:MOST_ATTEMPTS], failures))

    def _plan(self, at: datetime, client: ClientKey, model: str) -> Plan:
        here, now = self._routes, at.timestamp()
        out = {
            key: health
            for key, health in here.health.items()
            if health.state is not State.HEALTHY and health.since < now and (health.until is None or now < health.until)
        }
        return plan(
            [span.at(at) for span in self._spans if span.begins <= at],
            model,
            asking=routes.asking(client),
            policy=here.policy,
            shared=here.shared,
            health=out,
            now=now,
        )


def walk(
    dice: random.Random, head: Opened, candidates: Sequence[Candidate], failures: Sequence[ErrorClass] | None
) -> Iterator[Finished]:
    """From candidate to candidate until one answers."""
    at = head.started_at
    for number, candidate in enumerate(candidates, 1):
        failure = luck(dice, candidate.key) if failures is None else next(iter(failures[number - 1 :]), None)
        last = failure is None or number == len(candidates)
        opened = opened_by(head, candidate, number, at)
        closed = failed(dice, opened, failure, last=last) if failure else answered(dice, opened)
        yield Finished(opened, closed)
        if last:
            return
        at += (closed.latency_ms or 0) / 1000


def luck(dice: random.Random, key: RouteKey) -> ErrorClass | None:
    thrown = dice.random()
    if thrown < LIMITED_SHARE.get((key.provider, key.name), FEW):
        return ErrorClass.LIMITED
    return ErrorClass.TROUBLE if thrown > 1 - FEW else None


def opened_by(head: Opened, candidate: Candidate, number: int, at: float) -> Opened:
    key = candidate.key
    named = {"provider_key_id": str(key.id), "provider": key.provider, "tier": key.tier}
    placed = {"native_model": candidate.native_model, "mark": str(candidate.mark), "number": number}
    fields = {name: getattr(head, name) for name in Opened.__struct_fields__}
    skipped = head.skipped if number == 1 else ()
    return Opened(
        **fields | named | placed | {"id": uuid_at(datetime.fromtimestamp(at, UTC)), "started_at": at, "skipped": skipped}
    )


def failed(dice: random.Random, opened: Opened, failure: ErrorClass, *, last: bool) -> Closed:
    """Without a later attempt the program sees it."""
    return Closed(
        id=opened.id,
        outcome=Outcome.ERROR if last else Outcome.ABSORBED,
        status=STATUSES[failure],
        error_class=failure,
        first_byte_ms=None,
        latency_ms=int(dice.lognormvariate(5, 0.6)),
    )


def answered(dice: random.Random, opened: Opened) -> Closed:
    latency = int(dice.lognormvariate(7, 0.6))
    return Closed(
        id=opened.id,
        outcome=Outcome.OK,
        status=200,
        error_class="",
        first_byte_ms=latency // 3,
        latency_ms=latency,
        input_tokens=int(dice.lognormvariate(6.5, 1)),
        output_tokens=int(dice.lognormvariate(5, 0.8)),
    )


def refused(head: Opened, planned: Plan) -> Finished:
    """With the code that the gateway gives where no key may serve the model."""
    reasons = {left.why for left in planned.left_out}
    code = next((CLOSED[why].code for why in CLOSED if why in reasons), "model_not_found")
    closed = Closed(id=head.id, outcome=Outcome.REFUSED, status=None, error_class=code, first_byte_ms=None, latency_ms=None)
    return Finished(head, closed)


def pace(at: datetime, now: datetime, days: int) -> float:
    """Against the average: 0.2 to about 2.5."""
    hour = 1 + 0.8 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
    week = 0.4 if at.weekday() >= 5 else 1.2
    return max(hour * week * (1.5 - (now - at).days / days), 0.2)


def uuid_at(at: datetime) -> str:
    return str(uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1e9)))
