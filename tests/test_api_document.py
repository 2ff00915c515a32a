"""Everything that the OpenAPI document allows, and much that it does not, sent to the management API.

What the API refuses by rules that no schema can say is no finding: an unknown name, a missing ETag, a credential without worth.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase
from hypothesis import settings as tried
from schemathesis.checks import CHECKS, load_all_checks

from keys import pace
from keys.actions import add_key, issue_client_key, issue_management_key
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import Organization, User

pytestmark = pytest.mark.large

load_all_checks()
[MAY_BE_REFUSED] = CHECKS.get_by_names(["positive_data_acceptance"])  # also what a schema allows: see above
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Each request would end the connection, and with it the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def headers(
    one_connection: None, acme: Organization, alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> dict[str, str]:
    settings.UPSTREAM_OVERRIDES = {"openai": "http://127.0.0.1:9"}
    for name in ("CALLS_A_MINUTE", "STRANGERS_A_MINUTE"):
        monkeypatch.setattr(pace, name, 1_000_000)
    cache.clear()
    by = Actor(label="Alice", user=alice)
    credential = Credential(secret={"api_key": "sk-proj-not-a-real-key-0000"}, public={}, hint="sk-…0000")
    add_key(organization=acme, provider="openai", name="Main", credential=credential, test=None, by=by)
    issue_client_key(organization=acme, name="web-app", by=by)
    text = issue_management_key(organization=acme, name="fuzz", by=by)[1]
    return {"Authorization": f"Bearer {text}"}


@schema.parametrize()
@tried(
    max_examples=6,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_contradicts_the_document(case: schemathesis.Case, headers: dict[str, str]) -> None:
    case.call_and_validate(headers=headers, excluded_checks=[MAY_BE_REFUSED])
