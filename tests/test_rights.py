"""Once a day: does anything still work for somebody who has left?"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.utils import timezone

from byok_site.rights import watch_rights
from keys.actions import issue_client_key, issue_management_key
from keys.actions.leaving import end_membership
from orgs.actions import Actor
from orgs.actions.invitations import invite
from orgs.actions.members import set_role
from orgs.models import MEMBER, OWNER, Membership, Organization, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_day_begins() -> None:
    cache.clear()


@pytest.fixture
def bobs(acme: Organization, alice: User, bob: User) -> dict[str, object]:
    """What he has while he owns Acme, too."""
    set_role(organization=acme, user=bob, role=OWNER, by=Actor(label="Alice", user=alice))
    by = Actor(label="Bob", user=bob)
    return {
        "client key": issue_client_key(organization=acme, name="Bob's", by=by)[0].pk,
        "management key": issue_management_key(organization=acme, name="Bob's", by=by)[0].pk,
        "invitation": invite(organization=acme, emails=["dora@example.com"], role=MEMBER, by=by)[0].invitation.pk,
    }


def test_whoever_belongs_to_it_has_their_rights(bobs: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    watch_rights(timezone.now())
    assert caplog.messages == []


def test_whoever_left_has_none(bobs: dict[str, object], acme: Organization, bob: User, caplog: pytest.LogCaptureFixture) -> None:
    end_membership(organization=acme, user=bob, by=Actor(label="Bob", user=bob))
    watch_rights(timezone.now())
    assert caplog.messages == []


def test_what_an_act_forgot_is_told_once_a_day(
    bobs: dict[str, object], acme: Organization, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    Membership.objects.filter(organization=acme, user=bob).delete()  # as no act of ours does
    for when in (timezone.now(), timezone.now()):
        watch_rights(when)
    told = "Rights of people who have left: " + ", ".join(f"{kind} {pk}" for kind, pk in bobs.items())
    assert caplog.messages == [told + ". End them, and report it as SECURITY.md says."]
    watch_rights(timezone.now() + timedelta(days=1))
    assert len(caplog.messages) == 2


def test_an_invitation_of_somebody_who_is_no_owner_is_told(
    bobs: dict[str, object], acme: Organization, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    Membership.objects.filter(organization=acme, user=bob).update(role=Group.objects.get(name=MEMBER))
    watch_rights(timezone.now())
    assert caplog.messages == [
        f"Rights of people who have left: invitation {bobs['invitation']}. End them, and report it as SECURITY.md says."
    ]
