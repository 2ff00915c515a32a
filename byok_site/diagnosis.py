"""How an organization fares, for staff and for the bundle that goes with a ticket. Only what is named here gets out.

No secret and nothing sealed, no address of an organization's endpoints, no name or address of a person.
"""

import io
import json
import platform
import tomllib
import zipfile
from datetime import datetime, timedelta
from typing import Any

import django
from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, Sum
from django.tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from keys.models import ClientKey, HealthMark, ProviderKey, RoutingPreference
from keys.pages import listing
from orgs.models import Membership, Organization
from orgs.redaction import plain
from usage import overviews
from usage.models import DailyRollup, JournalSegment, Outcome, UsageEvent

type Rows = list[dict[str, Any]]

DAYS = 30
ERRORS_SINCE = timedelta(days=7)
ERRORS_MOST = 200
NUMBERS = ("GATEWAY_WORKERS", "FIRST_BYTE_SECONDS", "MAX_BODY_MB", "USAGE_EVENT_DAYS", "VAULT_SUITE", "PORT", "DEBUG", "HTTPS")
WHETHER_SET = ("REDIS_URL", "TRUSTED_PROXIES", "EGRESS_ALLOW", "UPSTREAM_OVERRIDES", "SECRET_KEY_FALLBACKS")
KEY = (
    *("id", "provider", "name", "hint", "fingerprint", "secret_version", "priority", "tier", "enabled", "always"),
    *("allowed_models", "status", "status_reason", "status_since", "error_class", "until", "trips", "last_error", "needs_test"),
    *("tested_at", "next_test_at", "failed_tests", "discovered_models", "created_at", "last_used_at", "removed_at"),
)
CLIENT_KEY = ("id", "name", "hint", "allowed_models", "expires_at", "created_at", "last_used_at", "paused_at", "revoked_at")
EVENT = (
    *("started_at", "request_id", "number", "provider", "provider_key_id", "client_key_id", "model", "native_model", "tier"),
    *("outcome", "status", "error_class", "latency_ms"),
)
SUMS = ("requests", "input_tokens", "output_tokens", "estimated_cost_microusd")


def bundle(organization: Organization, now: datetime) -> bytes:
    parts = {
        "about": {"made_at": now, "organization": about(organization), **versions()},
        "settings": operator_settings(),
        "keys": {
            "provider_keys": rows(ProviderKey.objects.filter(organization=organization), *KEY),
            "client_keys": rows(ClientKey.objects.filter(organization=organization), *CLIENT_KEY),
        },
        "errors": errors(organization, now),
        "usage": usage(organization, now),
        "health": health(organization, now),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, told in parts.items():
            archive.writestr(f"{name}.json", json.dumps(plain(told), indent=1, default=str, ensure_ascii=False))
    return file.getvalue()


def about(organization: Organization) -> dict[str, Any]:
    names = ("id", "name", "slug", "timezone", "is_platform", "routing_version", "created_at", "delete_at")
    routing = RoutingPreference.objects.filter(organization=organization)
    roles = Membership.objects.for_org(organization).values("role__name").annotate(people=Count("pk"))
    return {
        **{name: getattr(organization, name) for name in names},
        "people": {row["role__name"]: row["people"] for row in roles},
        "routing": routing.values("use_own_keys", "own_keys_only", "order_first", "paused_at", "preferences").first(),
    }


def versions() -> dict[str, str]:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()" if connection.vendor == "postgresql" else "SELECT sqlite_version()")
        database = f"{connection.vendor} {cursor.fetchone()[0]}"
    return {
        "keyhold": project["version"],
        "python": platform.python_version(),
        "django": django.get_version(),
        "database": database,
        "system": platform.system(),
    }


def operator_settings() -> dict[str, Any]:
    """Numbers as they are; of all else only whether it is set."""
    return {name: getattr(settings, name) for name in NUMBERS} | {name: bool(getattr(settings, name)) for name in WHETHER_SET}


def errors(organization: Organization, now: datetime) -> Rows:
    """Attempts of the last week that failed, the newest first."""
    failed = UsageEvent.objects.filter(
        organization=organization,
        started_at__gt=now - ERRORS_SINCE,
        outcome__in=[Outcome.ERROR, Outcome.ABSORBED, Outcome.REFUSED],
    )
    return list(failed.order_by("-started_at").values(*EVENT)[:ERRORS_MOST])


def usage(organization: Organization, now: datetime) -> Rows:
    """Sums of thirty days by provider, model and outcome."""
    since = (now - timedelta(days=DAYS)).date()
    booked = DailyRollup.objects.filter(organization=organization, day__gte=since).values("provider", "model", "outcome")
    return list(booked.annotate(**{f"sum_{name}": Sum(name) for name in SUMS}).order_by("provider", "model", "outcome"))


def health(organization: Organization, now: datetime) -> dict[str, Any]:
    done = DBTaskResult.objects.filter(status=TaskResultStatus.SUCCESSFUL).aggregate(at=Max("finished_at"))["at"]
    marks = HealthMark.objects.filter(key__organization=organization).order_by("key", "slot")
    return {
        "needs_attention": attention(organization, now),
        "last_task_done_at": done,
        "usage_booked_at": JournalSegment.objects.aggregate(at=Max("updated_at"))["at"],
        "half_hours": rows(marks, "key", "slot", "passed", "limited", "failed"),
    }


def attention(organization: Organization, now: datetime) -> list[str]:
    """What its owners are told on their overview."""
    listed = listing.rows(ProviderKey.objects.for_org(organization))
    return [str(plain(f"{each.title} {each.reason}")) for each in overviews.attention(organization, listed, now)]


def rows(queryset: Any, *names: str) -> Rows:
    return list(queryset.values(*names))
