"""What the overview says about an organization's provider keys, and about what was stopped."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime

from django.conf import settings
from django.core.cache import caches
from django.urls import reverse
from redis.exceptions import RedisError

from keys.models import ProviderKey, ProviderPreference, RoutingPreference
from keys.pages import listing
from keys.pages.listing import Failing, Row
from keys.providers import PROVIDERS
from keys.providers.errors import ErrorClass
from orgs.models import Organization
from usage.reports import Report
from usage.screens import Stat, stats

Status = ProviderKey.Status
FAILS = {
    ErrorClass.REFUSED: "is refused by {label}",
    ErrorClass.OUT_OF_MONEY: "has no credit left",
    ErrorClass.TROUBLE: "gets no answer from {label}",
    "": "is failing",
}
LINES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Attention:
    """One line below "Needs attention". An owner acts at `post`, or without it at `url`, where members only read.

    of: what it is about, for those who hear the action alone. `began` and `at` are a sentence, `then` is one after it.
    """

    tone: str
    mark: str
    title: str
    reason: str = ""
    began: str = ""
    at: datetime | None = None
    then: str = ""
    _: KW_ONLY
    action: str
    of: str
    url: str
    post: str = ""


def attention(organization: Organization, listed: Sequence[Row], now: datetime) -> list[Attention]:
    """What was stopped, then keys that need someone, the worst first. A key that was turned off needs nobody. Two queries."""
    slug = organization.slug
    return [
        *_uncounted(slug),
        *_stopped(organization),
        *_stopped_providers(organization),
        *(_failing(each, slug) for each in listing.failing(listed)),
        *(_limited(row, slug, now) for row in listed if row.state == Status.LIMITED),
        *(_untested(row, slug) for row in listed if row.state == Status.UNTESTED),
    ]


def _uncounted(slug: str) -> Iterator[Attention]:
    """Where several processes count together, and cannot now."""
    if not settings.REDIS_URL:
        return
    try:
        caches["valkey"].get("keyhold")
    except RedisError:
        yield Attention(
            "warn",
            "s-limited",
            "Limits are not counted together.",
            "Valkey cannot be reached, so each gateway process applies its share of every limit and budget until it is back.",
            action="See limits",
            of="Valkey",
            url=reverse("limits", args=[slug]),
        )


def _stopped(organization: Organization) -> Iterator[Attention]:
    decided, slug = RoutingPreference.objects.filter(organization=organization).first(), organization.slug
    if decided and decided.paused_at:
        yield Attention(
            "bad",
            "s-off",
            "Every request is refused.",
            began=f"{organization.name} was paused",
            at=decided.paused_at,
            action="Resume",
            of=organization.name,
            url=reverse("routing", args=[slug]),
            post=reverse("routing_resume", args=[slug]),
        )
    if decided and not decided.use_own_keys:
        shared = "Requests go to shared keys only."
        yield Attention(
            "bad",
            "s-off",
            "Your own keys are switched off.",
            "Shared keys are off too, so every request fails." if decided.own_keys_only else shared,
            action="Switch on",
            of="your own keys",
            url=reverse("routing", args=[slug]),
            post=reverse("routing_own_keys_on", args=[slug]),
        )


def _stopped_providers(organization: Organization) -> Iterator[Attention]:
    for decided in ProviderPreference.objects.filter(organization=organization, provider__in=PROVIDERS).order_by("provider"):
        label, args = PROVIDERS[decided.provider].label, [organization.slug, decided.provider]
        url = reverse("provider_routing", args=args)
        if decided.paused_at:
            yield Attention(
                "warn",
                "s-off",
                f"{label} is paused.",
                "No request goes there.",
                began="It was paused",
                at=decided.paused_at,
                action="Resume",
                of=label,
                url=url,
                post=reverse("provider_routing_resume", args=args),
            )
        if not decided.use_own_keys:
            title = f"Your own {label} keys are switched off."
            yield Attention("warn", "s-off", title, "No request uses them.", action="See routing", of=label, url=url)


def _failing(each: Failing, slug: str) -> Attention:
    key, row = each.row.key, each.row
    return Attention(
        "bad",
        "s-failing",
        f"{key} {FAILS.get(key.error_class, FAILS['']).format(label=row.provider.label)}.",
        row.reason,
        began="It stopped working",
        at=row.since,
        then=each.moved,
        action="Fix key",
        of=str(key),
        url=_page(key, slug),
    )


def _limited(row: Row, slug: str, now: datetime) -> Attention:
    key = row.key
    return Attention(
        "warn",
        "s-limited",
        f"{key} is hitting its rate limit.",
        row.reason,
        began="The limit ends",
        at=key.until if key.until and key.until > now else None,
        action="View key",
        of=str(key),
        url=_page(key, slug),
    )


def _untested(row: Row, slug: str) -> Attention:
    key = row.key
    return Attention(
        "accent",
        "s-untested",
        f"{key} has not been tested.",
        "It gets no traffic until it passes." if key.needs_test else "It gets traffic without a test.",
        action="Test now",
        of=str(key),
        url=_page(key, slug),
        post=reverse("provider_key_test", args=[slug, key.pk]),
    )


def _page(key: ProviderKey, slug: str) -> str:
    return reverse("provider_key", args=[slug, key.pk])


def all_well(listed: Sequence[Row]) -> tuple[str, str]:
    """Icon and sentence for when nothing needs attention."""
    on = sum(row.key.enabled for row in listed)
    if not on:
        return "s-off", "Every key is turned off, so no request can be served."
    return "s-healthy", f"All {on} keys are working." if on > 1 else "Your key is working."


def of_week(week: Report, usage: str) -> list[Stat]:
    """The page shows more than usage, so each number says what it is of, and leads to the usage page at `usage`."""
    return [replace(stat, name=f"{stat.name}, 7 days", url=_from_outside(stat.url, usage, week)) for stat in stats(week)[:4]]


def _from_outside(url: str, usage: str, week: Report) -> str:
    """A link within the usage page, as it is written on another one."""
    state = week.query.link() if url.startswith("#") else ""
    return f"{usage}{state}{url}" if url else ""


def working(listed: Sequence[Row]) -> Stat:
    """How many keys can serve, and what is the matter with the others."""
    keys = [row.key for row in listed]
    states = Counter(key.get_status_display().lower() if key.enabled else "off" for key in keys)
    able = sum(key.enabled and key.status != Status.FAILING and not _waits(key) for key in keys)
    words = ", ".join(f"{states[state]} {state}" for state in ("failing", "rate limited", "not tested", "off") if states[state])
    return Stat("Working keys", f"{able} of {len(keys)}", "", words or "None failing")


def _waits(key: ProviderKey) -> bool:
    return key.status == Status.UNTESTED and key.needs_test


def whom_to_ask(owners: Sequence[str]) -> str:
    """For members of an organization without keys."""
    if len(owners) < 2:
        return f"Ask {''.join(owners)}, who is an owner."
    return f"Ask {', '.join(owners[:-1])} or {owners[-1]}, who are owners."
