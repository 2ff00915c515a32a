"""A key of the ring that is lost for good: what only it opened is entered or made again, and nothing else is lost."""

import base64
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway.auth import authenticate
from gateway.errors import Refusal
from gateway.health import HealthBoard
from gateway.snapshot import load, versions
from keys.actions import add_key, issue_client_key, issue_management_key
from keys.actions.client_keys import roll_client_key
from keys.actions.replacing import replace_credential
from keys.actions.webhooks import add_webhook
from keys.apps import check_data_keys
from keys.models import ClientKey, ManagementKey, ProviderKey, RetiredCredential
from keys.providers import Credential
from keys.telling import tell_owners
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import AuditEvent, Notice, Organization, User
from usage.actions import set_limit

pytestmark = pytest.mark.django_db
BY = Actor.command("test")
PASSED = TestResult(Verdict.VALID, "", models=("gpt-4o",))
K1 = "k1:" + base64.b64encode(b"tests only, 32 bytes of no worth").decode()
K2 = "k2:" + base64.b64encode(b"tests too, 32 bytes of no worth.").decode()


def credential(end: str) -> Credential:
    return Credential(secret={"api_key": f"sk-proj-not-a-real-key-{end}"}, public={}, hint=f"sk-…{end}")


def furnish(organization: Organization) -> SimpleNamespace:
    where: dict[str, Any] = {"organization": organization, "by": BY}
    key = add_key(provider="openai", name="Main", credential=credential("0000"), test=PASSED, **where)
    replace_credential(key=key, credential=credential("0001"), test=PASSED, by=BY)
    client_key, text = issue_client_key(name="web-app", **where)
    set_limit(scope="client_key", target_id=str(client_key.pk), concurrent=5, **where)
    management_key, _ = issue_management_key(name="terraform", **where)
    add_webhook(url="https://hooks.example.com/", **where)
    return SimpleNamespace(key=key, client_key=client_key, text=text, management_key=management_key)


@pytest.fixture
def mine(acme: Organization, alice: User) -> SimpleNamespace:
    """Acme's, under a key that is lost afterwards."""
    totp.TOTP.activate(alice, totp.generate_totp_secret())
    return furnish(acme)


@pytest.fixture
def theirs(mine: SimpleNamespace, globex: Organization, settings: Any) -> SimpleNamespace:
    """Globex's, under the key that came in front of it."""
    settings.VAULT_KEYS = f"{K2},{K1}"
    return furnish(globex)


@pytest.fixture
def lost(theirs: SimpleNamespace, settings: Any) -> None:
    settings.VAULT_KEYS = K2


def give_up(*options: str) -> str:
    out = StringIO()
    call_command("vault", "give-up", "k1", *options, stdout=out)
    return out.getvalue()


def verify() -> list[str]:
    out = StringIO()
    try:
        call_command("vault", "verify", stdout=out)
    except CommandError as said:
        return [*out.getvalue().splitlines(), str(said)]
    return out.getvalue().splitlines()


def opens(text: str) -> bool:
    try:
        authenticate(load(versions(), HealthBoard()), [(b"x-api-key", text.encode())])
    except Refusal:
        return False
    return True


def test_nothing_is_destroyed_by_mistake(lost: None, mine: SimpleNamespace, settings: Any) -> None:
    before = verify()
    with pytest.raises(CommandError, match="Nothing is done yet"):
        give_up()
    with pytest.raises(CommandError, match="k9 wraps and seals nothing"):
        call_command("vault", "give-up", "k9", "--for-good")
    settings.VAULT_KEYS = f"{K2},{K1}"
    with pytest.raises(CommandError, match="k1 is in VAULT_KEYS, so nothing is lost"):
        give_up("--for-good")
    settings.VAULT_KEYS = K2
    assert verify() == before
    assert before[-1] == "6 do not open."


def test_the_server_starts_again_and_nobody_else_loses_anything(
    lost: None, theirs: SimpleNamespace, mine: SimpleNamespace
) -> None:
    [refusal] = check_data_keys()
    assert refusal.msg.endswith("run: manage.py vault give-up k1")
    assert give_up("--for-good").splitlines() == [
        "provider keys: 1",
        "client keys: 1",
        "management keys: 1",
        "webhooks: 1",
        "people without their second factor: 1",
    ]
    assert check_data_keys() == []
    assert opens(theirs.text)
    assert ProviderKey.objects.get(pk=theirs.key.pk).status == "healthy"
    assert ManagementKey.objects.get(pk=theirs.management_key.pk).revoked_at is None
    assert RetiredCredential.objects.get().key_id == theirs.key.pk


def test_owners_are_told_and_put_everything_back(lost: None, mine: SimpleNamespace, acme: Organization, alice: User) -> None:
    give_up("--for-good")
    told = Notice.objects.get(organization=acme, tag="data_key:give_up")
    assert told.body.splitlines()[2:] == [
        "- Replace the credential of 1 provider keys. Each says so on its page.",
        "- Roll 1 client keys and give programs the new text. The old one is refused.",
        "- Create 1 management keys again.",
        "- Add 1 webhooks again.",
    ]
    rolled = Notice.objects.get(organization=acme, tag="client_key:give_up")
    assert (rolled.subject, rolled.person) == ("Client key web-app must be rolled", mine.client_key.owner)
    event = AuditEvent.objects.filter(organization=acme, tag="data_key:give_up").get()
    assert event.changes["after"]["provider keys"] == 1
    assert not Authenticator.objects.filter(user=alice).exists()
    assert AuditEvent.objects.filter(organization=acme, tag="member:second_factor").get().changes == {"removed": ["totp"]}

    key = ProviderKey.objects.get(pk=mine.key.pk)
    assert (key.status, key.needs_test, key.next_test_at) == ("failing", True, None)
    assert "cannot open the stored secret" in key.status_reason
    assert tell_owners(timezone.now()) == 1
    replace_credential(key=key, credential=credential("0002"), test=PASSED, by=BY)
    key.refresh_from_db()
    assert (key.name, key.status, key.needs_test) == ("Main", "healthy", False)

    client_key = ClientKey.objects.get(pk=mine.client_key.pk)
    assert not opens(mine.text)
    assert opens(roll_client_key(key=client_key, public_id=client_key.public_id, grace=timedelta(), by=BY))
    assert ManagementKey.objects.get(pk=mine.management_key.pk).revoked_at
    assert verify()[-1] == "2 do not open."  # the webhook, and what was replaced now, which is destroyed in an hour
