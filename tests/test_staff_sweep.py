"""Nothing that is secret is anywhere in the staff console: of every model's bytes, and of what people hold."""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.apps import apps
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.db.models import BinaryField
from django.test import Client
from django.utils import timezone

from keys.actions import add_key, issue_client_key, issue_management_key, replace_credential
from keys.actions.single_sign_on import set_identity_provider
from keys.actions.webhooks import add_webhook
from keys.models import ModelOverride, ProviderKey
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.actions.invitations import invite
from orgs.models import MEMBER, AuditEvent, Organization, User
from tests.attempts import attempt, id_given
from tests.console_walk import ADDRESSES, make_root, walk
from usage.ingest import book

pytestmark = [pytest.mark.django_db, pytest.mark.large]

PASSED = TestResult(verdict=Verdict.VALID, reason="", status=200, latency_ms=9, models=("gpt-4o",))
CANARY = "canary7Q2hX9vK4mR8tW3zB6nD1fG5jL0pS"
ENDPOINT = "https://acme-weu.openai.azure.com"
WEBHOOK = "https://hooks.example.com/services/canary-path"
ISSUER = "https://id.example.com/realms/acme"


@pytest.fixture
def held(acme: Organization, alice: User, bob: User, client_of: Callable[[User], Client]) -> dict[str, str]:
    """One of every secret thing in Acme, by what it is."""
    by = Actor(label="Alice", user=alice)
    org: dict[str, Any] = {"organization": acme, "by": by}
    deployments = [{"model_slug": "openai/gpt-4o", "endpoint_url": ENDPOINT, "model_id": "gpt-4o"}]
    azure = Credential({"api_keys": [f"{CANARY}first"]}, {"deployments": deployments}, "…tail")
    key = add_key(**org, provider="azure", name="Main", credential=azure, test=None)
    replace_credential(key=key, credential=Credential({"api_keys": [CANARY]}, azure.public, "…tail"), test=PASSED, by=by)
    trouble = {"message": f"No answer from {ENDPOINT}/openai"}
    ProviderKey.objects.filter(pk=key.pk).update(status_reason=f"{ENDPOINT} is not there", last_error=trouble)
    said = {"issuer": ISSUER, "client_id": "canary-client", "domain": "example.com", "groups_claim": "", "owner_groups": []}
    set_identity_provider(organization=acme, said=said, secret=f"{CANARY}oidc", by=by)
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(alice, secret)
    codes = RecoveryCodes.activate(alice).get_unused_codes()
    ModelOverride.objects.create(provider="openai", slug="openai/gpt-99", native_model="gpt-99")
    book([attempt(acme, at=timezone.now(), key=key.pk, request_id=str(id_given(timezone.now())), outcome="error", status=500)])
    client_of(bob)
    return {
        "the credential": CANARY,
        "the endpoint": "acme-weu.openai",
        "the client key": issue_client_key(**org, name="web-app")[1],
        "the management key": issue_management_key(**org, name="terraform")[1],
        "the secret of the webhook": add_webhook(**org, url=WEBHOOK)[1],
        "the path of the webhook": "canary-path",
        "the issuer": ISSUER,
        "the client of the issuer": "canary-client",
        "the link of the invitation": invite(**org, emails=["dora@example.com"], role=MEMBER)[0].token,
        "the secret of the authenticator app": secret,
        **{f"recovery code {number}": code for number, code in enumerate(codes)},
    }


def spelled(value: bytes) -> Iterator[str]:
    """Bytes as a page may show them."""
    yield from (value.hex(), base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode(), repr(value)[2:-1])


def kept() -> Iterator[tuple[str, str]]:
    """What the tables hold and nobody is to see: all bytes, password hashes, sessions, second factors."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, BinaryField):
                for value in model._default_manager.exclude(**{field.name: None}).values_list(field.name, flat=True):
                    if value:
                        yield from ((f"{model.__name__}.{field.name}", text[:30]) for text in spelled(bytes(value)))
    yield from (("a password hash", text) for text in User.objects.values_list("password", flat=True))
    for key, data in Session.objects.values_list("session_key", "session_data"):
        yield from (("a session", key), ("what a session holds", data))
    for data in Authenticator.objects.values_list("data", flat=True):
        yield from (("a second factor", str(value)) for value in data.values() if len(str(value)) > 12)


def test_a_superuser_finds_no_secret_wherever_they_look(held: dict[str, str], client_of: Callable[[User], Client]) -> None:
    root = make_root()
    staff = client_of(root)
    own = {staff.session.session_key}
    secrets = [*held.items(), *((what, text) for what, text in kept() if text not in own)]
    assert {what for what, _ in secrets} >= {"ProviderKey.sealed", "RetiredCredential.sealed", "IdentityProvider.sealed"}
    assert {what for what, _ in secrets} >= {"ClientKey.digest", "ManagementKey.digest", "Invitation.digest", "Webhook.sealed"}
    assert [model for model in admin.site._registry if not model._default_manager.exists()] == []
    swept = set()
    for where, content in walk(staff, root, rows_each=40):
        text = content.decode()
        swept.add(where)
        for what, secret in secrets:
            assert secret not in text, f"{what} is in {where}"
        assert not re.search(r'(href|src|action)="(?:https?:)?//', text), f"{where} leads elsewhere"
    assert swept >= set(ADDRESSES)
    assert AuditEvent.objects.filter(changes__icontains="acme-weu").exists()
