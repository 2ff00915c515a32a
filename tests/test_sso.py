"""Single sign-on: whom an organization's identity provider says who they are, and whom nobody does."""

import base64
import html
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from allauth.account.adapter import get_adapter
from allauth.mfa.totp.internal import auth as totp
from django.conf import settings
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from byok_site.environment import name_servers
from keys import data_keys, domains, upkeep
from keys.actions.data_keys import add_data_key
from keys.actions.single_sign_on import DomainRefused, SecretNeeded, admit, confirm_domain, set_enforced, set_identity_provider
from keys.sign_on import Person
from orgs.actions import Actor, create_organization
from orgs.actions.account import change_email
from orgs.actions.invitations import HasAccount, digest_of, invite, join_with_new_account
from orgs.models import AUDITOR, MEMBER, OWNER, AuditEvent, Identity, IdentityProvider, Invitation, Membership, Organization, User
from tests.fake_dns import FakeNameServer
from tests.fake_oidc import EC_KEY, OTHER_KEY, FakeIdentityProvider, signed
from tests.test_ingest import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.large]

PAGE = "/o/acme/settings/sign-on/"
BY = Actor.command("tests")
RACES = 100
type SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def nobody_is_limited() -> None:
    cache.clear()


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeIdentityProvider]:
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    fake = FakeIdentityProvider().start()
    yield fake
    fake.stop()
    assert not fake.violations


@pytest.fixture
def names(settings: Any) -> Iterator[FakeNameServer]:
    server = FakeNameServer().start()
    settings.DNS_SERVERS = [server.address]
    yield server
    server.stop()


def said(fake: FakeIdentityProvider, **changed: Any) -> Any:
    kept = {"issuer": fake.issuer, "client_id": fake.client_id, "domain": "example.com"}
    return kept | {"groups_claim": "groups", "owner_groups": []} | changed


def provide(fake: FakeIdentityProvider, organization: Organization, **changed: Any) -> IdentityProvider:
    """An identity provider of a domain that was shown to be theirs."""
    provider = set_identity_provider(organization=organization, said=said(fake, **changed), secret=fake.client_secret, by=BY)
    confirm_domain(provider=provider, texts=[provider.proof], by=BY)
    fake.redirect_uri = f"http://localhost:8000/signin/sso/{organization.pk}/"
    return IdentityProvider.objects.get(pk=provider.pk)


@pytest.fixture
def acmes(fake: FakeIdentityProvider, acme: Organization) -> IdentityProvider:
    return provide(fake, acme)


def leave(client: Client, email: str = "alice@example.com", **more: str) -> str:
    """Where the browser is sent to."""
    page = client.post("/signin/sso/", {"email": email} | more)
    assert page.status_code == 200, page.text
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', page.text)
    assert found
    return html.unescape(found[1])


def sign_in(fake: FakeIdentityProvider, client: Client, email: str = "alice@example.com", **more: str) -> HttpResponse:
    return client.get(fake.visit(leave(client, email, **more)).removeprefix("http://localhost:8000"))


def signed_in(client: Client) -> str | None:
    pk = client.session.get("_auth_user_id")
    return User.objects.get(pk=pk).email if pk else None


def role(organization: Organization, email: str) -> str | None:
    membership = Membership.objects.filter(organization=organization, user__email=email).select_related("role").first()
    return membership.role.name if membership else None


def tags(organization: Organization) -> list[str]:
    return list(AuditEvent.objects.filter(organization=organization).order_by("pk").values_list("tag", flat=True))


def set_up(client: Client, fake: FakeIdentityProvider, **changed: str) -> HttpResponse:
    sent = {"do": "provider", "issuer": fake.issuer, "client_id": "keyhold", "client_secret": fake.client_secret}
    return client.post(PAGE, sent | {"domain": "Example.com", "groups_claim": "groups"} | changed)


# Setting it up


def test_an_owner_sets_it_up_and_shows_whose_the_domain_is(
    client_of: SignIn, alice: User, acme: Organization, fake: FakeIdentityProvider, names: FakeNameServer
) -> None:
    alices = client_of(alice)
    assert "Off. People sign in with passwords and passkeys" in alices.get("/o/acme/settings/").text
    assert set_up(alices, fake, owner_groups="admins\n\nkeepers").headers["Location"] == PAGE
    provider = IdentityProvider.objects.get()
    assert (provider.domain, provider.owner_groups, provider.verified_at) == ("example.com", ["admins", "keepers"], None)
    page = alices.get(PAGE).text
    assert "_keyhold.example.com" in page
    assert provider.proof in page
    assert f"http://localhost:8000/signin/sso/{acme.pk}/" in page
    assert "The record is not there yet." in alices.post(PAGE, {"do": "check"}, follow=True).text
    names.texts["_keyhold.example.com"] = ["v=spf1 -all", provider.proof]
    assert "example.com is yours." in alices.post(PAGE, {"do": "check"}, follow=True).text
    assert tags(acme)[-2:] == ["identity_provider:set", "identity_provider:verify"]
    assert "People of example.com can sign in with your identity provider." in alices.get("/o/acme/settings/").text


def test_a_domain_is_not_shown_to_be_theirs_while_no_name_server_answers(
    client_of: SignIn, alice: User, acme: Organization, fake: FakeIdentityProvider, names: FakeNameServer
) -> None:
    alices = client_of(alice)
    set_up(alices, fake)
    names.deaf = True
    assert "The name servers did not answer." in alices.post(PAGE, {"do": "check"}, follow=True).text
    assert IdentityProvider.objects.get().verified_at is None


def test_txt_records_are_read_whole(names: FakeNameServer) -> None:
    names.texts["_keyhold.example.com"] = ["one", 'two" "parts']  # long records come in parts
    assert set(domains.texts_at("_keyhold.example.com") or []) == {"one", "twoparts"}
    assert domains.texts_at("_keyhold.example.org") == []
    names.deaf = True
    assert domains.texts_at("_keyhold.example.com") is None


def test_two_may_claim_a_domain_and_one_of_them_has_it(
    fake: FakeIdentityProvider, acme: Organization, globex: Organization
) -> None:
    provide(fake, acme)
    other = set_identity_provider(organization=globex, said=said(fake), secret="x", by=BY)
    with pytest.raises(DomainRefused, match="Another organization has shown already"):
        confirm_domain(provider=other, texts=[other.proof], by=BY)


def test_a_domain_that_nobody_has_shown_to_be_theirs_signs_nobody_in(
    client: Client, fake: FakeIdentityProvider, acme: Organization
) -> None:
    set_identity_provider(organization=acme, said=said(fake), secret="x", by=BY)
    answer = client.post("/signin/sso/", {"email": "alice@example.com"})
    assert answer.status_code == 422
    assert "No organization here has single sign-on for example.com." in answer.text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"issuer": ""}, "Enter an address, for example https://login.example.com."),
        ({"issuer": "http://login.example.com"}, "must start with https://"),
        ({"issuer": "https://10.0.0.1"}, "is not a public one"),
        ({"issuer": "https://login.example.com?x=1"}, "may not hold a question mark"),
        ({"issuer": "http://127.0.0.1:9"}, "127.0.0.1:9 could not be asked. No connection could be made."),
        ({"client_id": ""}, "Enter the client ID that your provider shows."),
        ({"client_secret": ""}, "Paste the client secret that your provider shows."),
        ({"client_secret": "sécret-canary"}, "The secret holds a character that no provider uses."),
        ({"domain": "example"}, "This is not a domain."),
        ({"domain": "exämple.com"}, "This is not a domain."),
        ({"owner_groups": "a", "groups_claim": ""}, "Say which claim holds the groups"),
        ({"owner_groups": "x" * 201}, "50 groups are the most"),
    ],
)
def test_a_mistake_is_explained_and_no_secret_comes_back(
    client_of: SignIn, alice: User, acme: Organization, fake: FakeIdentityProvider, changed: dict[str, str], words: str
) -> None:
    answer = set_up(client_of(alice), fake, **changed)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert "canary" not in answer.text
    assert not IdentityProvider.objects.exists()


def test_a_kept_secret_goes_to_no_other_address(
    client_of: SignIn, alice: User, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    elsewhere = FakeIdentityProvider().start()
    answer = set_up(client_of(alice), elsewhere, client_secret="")
    elsewhere.stop()
    assert answer.status_code == 422
    assert "made for another address or client" in answer.text
    assert elsewhere.asked == []
    with pytest.raises(SecretNeeded):
        set_identity_provider(organization=acmes.organization, said=said(elsewhere), secret="", by=BY)
    assert set_up(client_of(alice), fake, client_secret="", groups_claim="roles").status_code == 302
    kept = IdentityProvider.objects.get()
    assert (kept.groups_claim, kept.secret_version, kept.verified_at) == ("roles", 1, acmes.verified_at)


def test_another_domain_must_be_shown_to_be_theirs_too(
    client_of: SignIn, alice: User, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    set_up(client_of(alice), fake, domain="example.net")
    changed = IdentityProvider.objects.get()
    assert (changed.verified_at, changed.proof == acmes.proof) == (None, False)


def test_the_secret_is_sealed_where_it_stands_and_is_in_no_page_or_record(
    client_of: SignIn, alice: User, acme: Organization, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    secret = fake.client_secret
    assert data_keys.open_client_secret(acmes, data_keys.of(acme)) == secret.encode()
    assert secret.encode() not in bytes(acmes.sealed)
    assert secret not in html.unescape(client_of(alice).get(PAGE).text)
    assert not [event for event in AuditEvent.objects.all() if "canary" in str(event.changes)]


def test_the_vault_opens_and_reseals_it(acme: Organization, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    add_data_key(organization=acme, by=BY)
    assert [visit.changed for visit in upkeep.reseal(Organization.objects.all()) if visit.row == acmes] == [True]
    assert [visit.opened for visit in upkeep.verify() if visit.row == acmes] == [True]
    resealed = IdentityProvider.objects.get()
    assert bytes(resealed.sealed) != bytes(acmes.sealed)
    assert data_keys.open_client_secret(resealed, data_keys.of(acme)) == fake.client_secret.encode()


def test_turning_it_off_erases_the_secret(
    client: Client, client_of: SignIn, alice: User, acme: Organization, acmes: IdentityProvider
) -> None:
    client_of(alice).post(PAGE, {"do": "remove"})
    assert not IdentityProvider.objects.exists()
    assert tags(acme)[-1] == "identity_provider:remove"
    assert client.post("/signin/sso/", {"email": "alice@example.com"}).status_code == 422


# Signing in


def test_alice_signs_in_and_lands_where_she_was_going(
    client: Client, fake: FakeIdentityProvider, acme: Organization, acmes: IdentityProvider
) -> None:
    answer = sign_in(fake, client, next="/o/acme/settings/")
    assert answer.headers["Location"] == "/o/acme/settings/"
    assert signed_in(client) == "alice@example.com"
    assert role(acme, "alice@example.com") == OWNER
    event = AuditEvent.objects.get(tag="identity_provider:vouch")
    assert (event.actor_label, event.target_label, event.address) == ("Single sign-on of example.com", "Alice", "127.0.0.1")
    assert client.get(PAGE).status_code == 200  # she has only just signed in


def test_it_never_leads_to_another_site(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    assert sign_in(fake, client, next="//evil.example/").headers["Location"] == "/"


def test_somebody_new_joins_as_a_member_without_a_password(
    client: Client, fake: FakeIdentityProvider, acme: Organization, acmes: IdentityProvider
) -> None:
    fake.person = {"sub": "7", "email": "Dora@Example.com", "name": "Dora  Ng"}
    sign_in(fake, client, "dora@example.com")
    assert signed_in(client) == "dora@example.com"
    dora = User.objects.get(email="dora@example.com")
    assert (dora.name, dora.has_usable_password(), role(acme, dora.email)) == ("Dora Ng", False, MEMBER)
    assert tags(acme)[-2:] == ["identity_provider:vouch", "member:join"]


def test_somebody_invited_joins_by_it_in_the_role_they_were_offered(
    client: Client, fake: FakeIdentityProvider, acme: Organization, alice: User, acmes: IdentityProvider
) -> None:
    by = Actor(label="Alice", user=alice)
    token = invite(organization=acme, emails=["dora@example.com"], role=AUDITOR, by=by)[0].token
    client.get(f"/invite/{token}/")
    fake.person = {"sub": "7", "email": "dora@example.com", "name": "Dora"}
    sign_in(fake, client, "dora@example.com", next="/invite/")
    assert role(acme, "dora@example.com") == AUDITOR
    assert AuditEvent.objects.get(tag="member:join").changes["after"]["invited_by"] == "Alice"
    assert not Invitation.objects.waiting().exists()
    assert client.get("/invite/").headers["Location"] == "/o/acme/"


@pytest.mark.parametrize(("groups", "after"), [(["admins"], OWNER), (["staff"], MEMBER)])
def test_groups_count_for_more_than_an_invitation(
    client: Client, fake: FakeIdentityProvider, acme: Organization, alice: User, groups: list[str], after: str
) -> None:
    provide(fake, acme, owner_groups=["admins"])
    offered = MEMBER if after == OWNER else OWNER
    invite(organization=acme, emails=["dora@example.com"], role=offered, by=Actor(label="Alice", user=alice))
    fake.person = {"sub": "7", "email": "dora@example.com", "groups": groups}
    sign_in(fake, client, "dora@example.com")
    assert role(acme, "dora@example.com") == after
    assert not Invitation.objects.waiting().exists()


@pytest.mark.parametrize("dead", [{"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, {"withdrawn_at": timezone.now()}, None])
def test_an_invitation_that_is_dead_gives_no_role(
    client: Client,
    fake: FakeIdentityProvider,
    acme: Organization,
    alice: User,
    acmes: IdentityProvider,
    dead: dict[str, Any] | None,
) -> None:
    invite(organization=acme, emails=["dora@example.com"], role=OWNER, by=Actor(label="Alice", user=alice))
    if dead:
        Invitation.objects.update(**dead)
    else:
        User.objects.filter(pk=alice.pk).update(is_active=False)
    fake.person = {"sub": "7", "email": "dora@example.com"}
    sign_in(fake, client, "dora@example.com")
    assert role(acme, "dora@example.com") == MEMBER
    assert not Invitation.objects.exclude(used_at=None).exists()


def test_an_account_that_was_taken_elsewhere_is_not_opened(
    client: Client, fake: FakeIdentityProvider, acme: Organization, bob: User, acmes: IdentityProvider
) -> None:
    fake.person = {"sub": "2", "email": "bob@example.com"}
    sign_in(fake, client)
    client.logout()
    change_email(user=bob, email="bob@home.example", by=BY)
    assert "has an address elsewhere now" in sign_in(fake, client).text
    assert signed_in(client) is None


def test_whom_an_owner_removed_signs_in_and_stays_out(
    client: Client, fake: FakeIdentityProvider, acme: Organization, bob: User, acmes: IdentityProvider
) -> None:
    fake.person = {"sub": "2", "email": "bob@example.com"}
    sign_in(fake, client)
    Membership.objects.get(organization=acme, user=bob).delete()
    client.logout()
    sign_in(fake, client)
    assert signed_in(client) == "bob@example.com"
    assert role(acme, "bob@example.com") is None
    assert client.get("/o/acme/").status_code == 404


@pytest.mark.parametrize(
    ("before", "groups", "after"),
    [
        (MEMBER, {"groups": ["staff", "admins"]}, OWNER),
        (MEMBER, {"groups": "admins"}, OWNER),
        (MEMBER, {"groups": ["staff"]}, MEMBER),
        (OWNER, {"groups": ["staff"]}, MEMBER),
        (OWNER, {}, MEMBER),
        (OWNER, {"groups": {"admins": True}}, MEMBER),
        (OWNER, {"_claim_names": {"groups": "src1"}}, OWNER),
        (AUDITOR, {"groups": ["staff"]}, AUDITOR),
        (AUDITOR, {"groups": ["admins"]}, OWNER),
    ],
)
def test_groups_decide_the_role_at_each_sign_in(
    client: Client, fake: FakeIdentityProvider, acme: Organization, bob: User, before: str, groups: dict[str, Any], after: str
) -> None:
    provide(fake, acme, owner_groups=["admins"])
    Membership.objects.filter(user=bob).update(role=Group.objects.get(name=before))
    fake.person = {"sub": "2", "email": "bob@example.com"} | groups
    sign_in(fake, client)
    assert role(acme, "bob@example.com") == after
    assert ("member:role" in tags(acme)) == (before != after)


def test_the_last_owner_stays_one_whatever_the_groups_say(client: Client, fake: FakeIdentityProvider, acme: Organization) -> None:
    provide(fake, acme, owner_groups=["admins"])
    fake.person |= {"groups": []}
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"
    assert role(acme, "alice@example.com") == OWNER


def test_where_no_groups_are_named_roles_stay(client: Client, fake: FakeIdentityProvider, acme: Organization) -> None:
    provide(fake, acme)
    fake.person |= {"groups": ["anything"]}
    sign_in(fake, client)
    assert role(acme, "alice@example.com") == OWNER


def test_a_second_factor_is_asked_for_here_too(
    client: Client, fake: FakeIdentityProvider, alice: User, acmes: IdentityProvider
) -> None:
    totp.TOTP.activate(alice, totp.generate_totp_secret())
    assert sign_in(fake, client).headers["Location"] == "/signin/code/"
    assert signed_in(client) is None


def test_staff_are_not_who_an_organization_says(client: Client, fake: FakeIdentityProvider, sam: User, acmes: Any) -> None:
    fake.person = {"sub": "9", "email": "sam@example.com"}
    answer = sign_in(fake, client)
    assert (answer.status_code, signed_in(client)) == (400, None)
    assert "Staff sign in with a password and a second factor." in answer.text
    assert not Identity.objects.exists()


def test_an_address_that_passed_to_another_person_opens_no_account(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    sign_in(fake, client)
    client.logout()
    fake.person = {"sub": "another", "email": "alice@example.com"}
    assert "Somebody else at your provider signed in with this address before." in sign_in(fake, client).text
    assert signed_in(client) is None


def test_a_person_whose_address_changed_keeps_their_account(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    sign_in(fake, client)
    client.logout()
    fake.person = {"sub": "1", "email": "alice.ng@example.com"}
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ({"sub": "1", "email": "alice@globex.example"}, "speaks for addresses at example.com"),
        ({"sub": "1", "email": "alice@sub.example.com"}, "speaks for addresses at example.com"),
        ({"sub": "1", "email": "alice@evil.example@example.com"}, "did not say your email address"),
        ({"sub": "1"}, "did not say your email address"),
        ({"sub": "1", "email": "alice@example.com", "email_verified": False}, "has not checked yet"),
        ({"sub": "1", "email": "alice@example.com", "email_verified": "false"}, "has not checked yet"),
        ({"sub": "", "email": "alice@example.com"}, "did not say who you are"),
        ({"sub": "x" * 256, "email": "alice@example.com"}, "did not say who you are"),
    ],
)
def test_a_person_of_whom_too_little_is_said_stays_out(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, person: dict[str, Any], words: str
) -> None:
    fake.person = person
    answer = sign_in(fake, client)
    assert (answer.status_code, signed_in(client)) == (400, None)
    assert words in answer.text


def test_the_address_may_come_from_userinfo(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    fake.person, fake.userinfo = {"sub": "1"}, {"sub": "1", "email": "alice@example.com"}
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"


def test_userinfo_of_somebody_else_is_refused(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    fake.person, fake.userinfo = {"sub": "1"}, {"sub": "2", "email": "alice@example.com"}
    assert "spoke of two different people" in sign_in(fake, client).text
    assert signed_in(client) is None


@pytest.mark.parametrize(
    "methods", [("client_secret_post",), ("client_secret_basic",), ("client_secret_basic", "client_secret_post")]
)
def test_the_secret_goes_as_the_provider_wants_it(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, methods: list[str]
) -> None:
    fake.auth_methods = tuple(methods)
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"


def test_a_token_may_be_signed_by_any_key_of_the_provider(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    fake.sign = lambda claims: signed(claims, EC_KEY, "ES256", "e")
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"


# Tokens that do not hold


def unsigned(claims: dict[str, Any]) -> str:
    return signed(claims, None, "none", "r")


def signed_with_what_is_public(claims: dict[str, Any]) -> str:
    """The old trick: a public key, taken for a shared secret."""
    return signed(claims, base64.b64encode(OTHER_KEY.public_key().public_numbers().n.to_bytes(256)).decode(), "HS256", "r")


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        signed_with_what_is_public,
        lambda claims: signed(claims, FakeIdentityProvider.client_secret * 2, "HS256", "r"),
        lambda claims: signed(claims, OTHER_KEY),
        lambda claims: signed(claims, kid="unknown"),
        lambda claims: signed(claims, kid=None),  # of two keys, which?
        lambda claims: signed(claims, EC_KEY, "ES256", "r"),
        lambda claims: signed(claims)[:-8],
        lambda claims: "not a token",
        lambda claims: "",
    ],
)
def test_a_token_that_the_provider_did_not_sign_is_refused(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, sign: Callable[[dict[str, Any]], str]
) -> None:
    fake.sign = sign
    refused(fake, client, "sent a token that does not hold")


NOW = int(time.time())


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://login.evil.example"},
        {"aud": "another-client"},
        {"aud": ["keyhold", "another"]},
        {"aud": ["keyhold", "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": NOW - 120},
        {"iat": NOW + 36_000},
        {"nonce": "another"},
        {"nonce": ""},
        {"nonce": None},
        {"exp": None},
        {"iss": None},
        {"aud": None},
        {"sub": None},
    ],
)
def test_a_token_that_was_not_made_for_this_sign_in_is_refused(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, changed: dict[str, Any]
) -> None:
    fake.claim = lambda claims: {name: value for name, value in (claims | changed).items() if value is not None}
    refused(fake, client, "sent a token that does not hold")


def refused(fake: FakeIdentityProvider, client: Client, words: str) -> None:
    answer = sign_in(fake, client)
    assert (answer.status_code, signed_in(client)) == (400, None)
    assert words in answer.text
    assert "canary" not in answer.text
    assert "identity_provider:vouch" not in AuditEvent.objects.values_list("tag", flat=True)


# What comes back that was not begun here


def test_a_sign_in_counts_once_even_if_it_fails(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    for address in (back.replace("state=", "state=x"), back):
        assert client.get(address).status_code == 400
        assert signed_in(client) is None


def test_a_code_counts_once(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    client.get(back)
    client.logout()
    assert client.get(back).status_code == 400
    assert signed_in(client) is None


def test_of_two_answers_at_once_one_counts(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    begun = client.session["single_sign_on"]
    client.get(back)
    client.logout()
    session = client.session
    session["single_sign_on"] = begun  # as the second of two reads it that come at the same moment
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = str(session.session_key)
    assert "This sign-in was begun elsewhere" in client.get(back).text
    assert signed_in(client) is None


def test_a_sign_in_goes_on_only_in_the_browser_that_began_it(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    back = fake.visit(leave(Client())).removeprefix("http://localhost:8000")
    leave(client)
    answer = client.get(back)
    assert (answer.status_code, signed_in(client)) == (400, None)
    assert "This sign-in was begun elsewhere" in answer.text
    assert "/token" not in fake.asked


def test_what_one_organizations_provider_sends_is_not_taken_for_anothers(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, globex: Organization
) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    provide(fake, globex, domain="globex.example")
    answer = client.get(back.replace(str(acmes.organization_id), str(globex.pk)))
    assert (answer.status_code, signed_in(client)) == (400, None)
    assert "This sign-in was begun elsewhere" in answer.text
    assert "/token" not in fake.asked


def test_an_answer_in_the_name_of_another_provider_is_refused(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    answer = client.get(re.sub("iss=[^&]+", "iss=https://login.evil.example", back))
    assert "The answer came from another provider." in answer.text
    assert "/token" not in fake.asked


def test_a_sign_in_must_be_over_in_ten_minutes(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=11)):
        assert client.get(back).status_code == 400
    assert signed_in(client) is None


def test_a_domain_that_is_another_by_then_signs_nobody_in(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    back = fake.visit(leave(client)).removeprefix("http://localhost:8000")
    IdentityProvider.objects.update(verified_at=None)
    assert "This organization has no single sign-on any more." in client.get(back).text
    assert signed_in(client) is None


def test_what_a_provider_gives_as_a_reason_is_not_shown(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    state = re.search(r"[?&]state=([^&]+)", leave(client))
    assert state
    query = f"state={state[1]}&error=access_denied&error_description=Call+this+number"
    answer = client.get(f"/signin/sso/{acmes.organization_id}/?{query}")
    assert answer.status_code == 400
    assert "did not sign you in." in answer.text
    assert "number" not in answer.text


# Providers in trouble


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"issuer": "https://login.evil.example"}, "calls itself by another address"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "names no address for its authorization_endpoint"),
        ({"authorization_endpoint": "https://10.0.0.1/authorize"}, "names no address for its authorization_endpoint"),
        ({"authorization_endpoint": None}, "names no address for its authorization_endpoint"),
    ],
)
def test_a_document_that_does_not_fit_leads_nowhere(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, changed: dict[str, Any], words: str
) -> None:
    fake.say = lambda found: found | changed
    answer = client.post("/signin/sso/", {"email": "alice@example.com"})
    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri"])
def test_no_endpoint_leads_into_the_private_network(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider, endpoint: str
) -> None:
    fake.say = lambda found: found | {endpoint: "http://169.254.169.254/latest/meta-data"}
    refused(fake, client, f"names no address for its {endpoint}")


def test_a_secret_that_the_provider_does_not_know_signs_nobody_in(
    client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    fake.client_secret = "another"
    refused(fake, client, "answered 400.")


def test_a_provider_that_is_down_is_named(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    IdentityProvider.objects.update(issuer="http://127.0.0.1:9")
    answer = client.post("/signin/sso/", {"email": "alice@example.com"})
    assert answer.status_code == 422
    assert "127.0.0.1:9 could not be asked. No connection could be made." in answer.text


def test_a_damaged_secret_is_said_to_be_one(client: Client, acmes: IdentityProvider) -> None:
    IdentityProvider.objects.update(secret_version=2)  # it was sealed for another place
    assert "does not open. An owner must enter it again." in client.post("/signin/sso/", {"email": "a@example.com"}).text


# Nothing but single sign-on


@pytest.fixture
def enforced(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> IdentityProvider:
    sign_in(fake, client)
    client.logout()
    set_enforced(provider=acmes, enforced=True, by=BY)
    return acmes


def test_it_is_demanded_only_once_somebody_has_signed_in_by_it(
    client: Client, client_of: SignIn, alice: User, acme: Organization, fake: FakeIdentityProvider, acmes: IdentityProvider
) -> None:
    alices = client_of(alice)
    assert "Sign in by it once first" in alices.post(PAGE, {"do": "demand"}, follow=True).text
    assert not IdentityProvider.objects.get().enforced
    sign_in(fake, client)
    assert "by your provider alone from now on" in alices.post(PAGE, {"do": "demand"}, follow=True).text
    assert IdentityProvider.objects.get().enforced
    assert tags(acme)[-1] == "identity_provider:enforce"
    assert "with their passwords, too" in alices.post(PAGE, {"do": "offer"}, follow=True).text
    assert not IdentityProvider.objects.get().enforced


def test_right_and_wrong_passwords_are_refused_alike(client: Client, enforced: IdentityProvider, password: str) -> None:
    answers = [client.post("/signin/", {"login": "ALICE@example.com", "password": word}) for word in (password, "wrong")]
    assert all("Use single sign-on." in answer.text for answer in answers)
    assert signed_in(client) is None


def test_passkeys_open_no_other_door(alice: User, enforced: IdentityProvider) -> None:
    hooks: dict[str, Any] = {"email_verification": "none", "email": None, "signup": False, "redirect_url": None}
    refusal = get_adapter().pre_login(HttpRequest(), alice, signal_kwargs=None, **hooks)
    assert refusal.headers["Location"] == "/signin/sso/"


def test_a_password_confirms_nothing_and_a_second_factor_does(client_of: SignIn, alice: User, enforced: IdentityProvider) -> None:
    old = client_of(alice)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=16)):
        assert old.get(PAGE).headers["Location"] == f"/signin/?next={PAGE.replace('/', '%2F')}"
    assert signed_in(old) is None
    totp.TOTP.activate(alice, totp.generate_totp_secret())
    assert [method["id"] for method in get_adapter().get_reauthentication_methods(alice)] == ["mfa_reauthenticate"]


def test_single_sign_on_itself_still_works(client: Client, fake: FakeIdentityProvider, enforced: IdentityProvider) -> None:
    sign_in(fake, client)
    assert signed_in(client) == "alice@example.com"


def test_somebody_invited_comes_in_by_it_and_makes_no_password(
    client: Client, fake: FakeIdentityProvider, acme: Organization, alice: User, globex: Organization, enforced: IdentityProvider
) -> None:
    by = Actor(label="Charlie", user=User.objects.get(email="charlie@example.com"))
    token = invite(organization=globex, emails=["dora@example.com"], role=MEMBER, by=by)[0].token
    client.get(f"/invite/{token}/")
    sent = {"name": "Dora", "password": "correct horse battery staple"}
    page = client.post("/invite/", sent).text
    assert "Sign in as dora@example.com first." in page
    assert 'href="/signin/sso/?next=/invite/"' in page
    with pytest.raises(HasAccount):
        join_with_new_account(digest=digest_of(token), address=None, **sent)
    assert not User.objects.filter(email="dora@example.com").exists()
    fake.person = {"sub": "7", "email": "dora@example.com"}
    assert sign_in(fake, client, "dora@example.com", next="/invite/").headers["Location"] == "/invite/"
    client.post("/invite/")
    assert role(globex, "dora@example.com") == MEMBER


def test_a_link_for_another_address_from_before_does_not_get_around_it(
    client_of: SignIn, alice: User, bob: User, enforced: IdentityProvider
) -> None:
    set_enforced(provider=enforced, enforced=False, by=BY)
    client = client_of(bob)
    client.post(reverse("account_new_email"), {"email": "bob@example.net"})
    link = re.search(r"http://testserver(/account/email/\S+)", str(mail.outbox[-1].body))
    assert link
    set_enforced(provider=enforced, enforced=True, by=BY)
    assert client.post(link[1]).status_code == 404
    assert User.objects.get(pk=bob.pk).email == "bob@example.com"


def test_nobody_changes_their_address_to_get_around_it(client_of: SignIn, alice: User, enforced: IdentityProvider) -> None:
    answer = client_of(alice).post(reverse("account_new_email"), {"email": "alice@example.net"})
    assert answer.status_code == 422
    assert "so your address stays here." in answer.text


def test_the_operator_lets_passwords_in_again(
    client: Client, acme: Organization, enforced: IdentityProvider, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("allow_passwords", org="acme")
    assert capsys.readouterr().out == "People of example.com can sign in with their passwords.\n"
    client.post("/signin/", {"login": "alice@example.com", "password": password})
    assert signed_in(client) == "alice@example.com"
    event = AuditEvent.objects.get(tag="identity_provider:enforce", actor_label="manage.py allow_passwords")
    assert event.changes == {"before": {"enforced": True}, "after": {"enforced": False}}


@pytest.mark.parametrize("slug", ["nowhere", "globex"])
def test_where_no_sign_on_is_demanded_the_operator_is_told_so(globex: Organization, slug: str) -> None:
    with pytest.raises(CommandError, match=f"No organization with the slug “{slug}” has single sign-on."):
        call_command("allow_passwords", org=slug)


def test_staff_of_the_domain_keep_their_passwords(client: Client, sam: User, enforced: IdentityProvider, password: str) -> None:
    client.post("/signin/", {"login": sam.email, "password": password})
    assert signed_in(client) == "sam@example.com"


def test_a_wrong_password_does_not_tell_who_is_staff(client: Client, sam: User, alice: User, enforced: IdentityProvider) -> None:
    def answers(email: str, place: str) -> list[str]:
        """Of so many tries that the last ones are too many."""
        sent = {"login": email, "password": "wrong horse"}
        pages = [client.post("/signin/", sent, REMOTE_ADDR=place).text for _ in range(7)]
        return [re.sub(r"csrf\S+ value=\S+", "", page).replace(email, "") for page in pages]

    of_staff = answers(sam.email, "192.0.2.1")
    assert "Your organization signs in with its own provider." in of_staff[0]
    assert "Too many wrong passwords." in of_staff[-1]
    assert of_staff == answers(alice.email, "192.0.2.2") == answers("nobody@example.com", "192.0.2.3")


def test_another_provider_demands_nothing_until_it_is_known_to_work(
    client_of: SignIn, alice: User, enforced: IdentityProvider
) -> None:
    other = FakeIdentityProvider().start()
    set_up(client_of(alice), other)
    other.stop()
    changed = IdentityProvider.objects.get()
    assert (changed.issuer, changed.enforced) == (other.issuer, False)


# Races


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_owners_who_sign_in_without_their_groups_at_once_leave_one_owner(
    postgres_only: None, fake: FakeIdentityProvider, make_user: Callable[..., User]
) -> None:
    people = [make_user("Alice"), make_user("Bob")]
    acme = create_organization(name="Acme", owner=people[0], by=BY)
    provider = provide(fake, acme, owner_groups=["admins"])
    owner = Group.objects.get(name=OWNER)
    for number in range(RACES):
        for person in people:
            Membership.objects.update_or_create(organization=acme, user=person, defaults={"role": owner})
        persons = [Person(str(person.pk), person.email, person.name, frozenset()) for person in people]
        at_once(*(partial(admit, provider=provider, person=person, by=BY) for person in persons))
        assert Membership.objects.for_org(acme).owners().count() == 1, f"race {number}"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_somebody_new_who_signs_in_twice_at_once_has_one_account(
    postgres_only: None, fake: FakeIdentityProvider, make_user: Callable[..., User]
) -> None:
    acme = create_organization(name="Acme", owner=make_user("Alice"), by=BY)
    provider = provide(fake, acme)
    for number in range(RACES):
        dora = Person(str(number), f"dora{number}@example.com", "Dora", None)
        first, second = at_once(*[partial(admit, provider=provider, person=dora, by=BY)] * 2)
        assert first == second, f"race {number}"
    assert Membership.objects.for_org(acme).count() == RACES + 1
    assert AuditEvent.objects.filter(tag="member:join").count() == RACES


# Who asks


def test_whether_an_address_has_an_account_is_not_told(client: Client, acmes: IdentityProvider) -> None:
    pages = [client.post("/signin/sso/", {"email": email}) for email in ("alice@example.com", "nobody@example.com")]
    texts = [re.sub(r"(state|nonce|code_challenge)=[\w-]+", "", page.text) for page in pages]
    assert texts[0] == texts[1]


def test_nobody_makes_us_ask_providers_without_end(client: Client, fake: FakeIdentityProvider, acmes: IdentityProvider) -> None:
    with time_machine.travel(timezone.now().replace(second=1), tick=False):
        answers = [client.post("/signin/sso/", {"email": "alice@example.com"}).status_code for _ in range(31)]
    assert answers == [200] * 30 + [422]


def test_the_way_there_is_on_the_sign_in_page(client: Client, db: None) -> None:
    assert '<a class="link" href="/signin/sso/?next=%2Faccount%2F">' in client.get("/signin/?next=/account/").text
    assert '<input type="hidden" name="next" value="/account/">' in client.get("/signin/sso/?next=/account/").text


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("10.0.0.2", [("10.0.0.2", 53)]),
        ("10.0.0.2, 127.0.0.1:5353", [("10.0.0.2", 53), ("127.0.0.1", 5353)]),
        ("::1,[::1]:5353", [("::1", 53), ("::1", 5353)]),
    ],
)
def test_name_servers_are_read(raw: str, found: list[tuple[str, int]]) -> None:
    assert name_servers(raw) == found


@pytest.mark.parametrize("raw", ["ns.example.com", "10.0.0.2:x", "10.0.0.2:99999"])
def test_name_servers_that_are_none_are_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="must be addresses such as"):
        name_servers(raw)
