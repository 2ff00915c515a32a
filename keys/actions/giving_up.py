"""What is done once a key of the ring is lost for good: what only it opened is to be entered or made again, and nothing else."""

from collections import Counter
from collections.abc import Collection, Iterable

from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import Max
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from keys import data_keys, second_factors, vault
from keys.actions import client_keys
from keys.actions.health import HEALTH_FIELDS, put_health
from keys.actions.management_keys import revoke_management_key
from keys.actions.writing import lock, tell
from keys.health import Health, State
from keys.models import ClientKey, ManagementKey, ProviderKey, RetiredCredential
from orgs.actions import Actor, record_everywhere
from orgs.models import IdentityProvider, Notice, Organization, User, Webhook

UNREADABLE = "Keyhold cannot open the stored secret any more. Replace the credential."
ROLL = "The key that protected its text is lost, so programs that send it are refused. Roll it, and give them the new text."
TODO = {
    "provider keys": "Replace the credential of {} provider keys. Each says so on its page.",
    "client keys": "Roll {} client keys and give programs the new text. The old one is refused.",
    "management keys": "Create {} management keys again.",
    "webhooks": "Add {} webhooks again.",
    "identity providers": "Enter the client secret of single sign-on again.",
}

type Sealed = ProviderKey | RetiredCredential | Webhook | IdentityProvider


@transaction.atomic
def give_up_data_keys(*, organization: Organization, kek_id: str, by: Actor) -> Counter[str]:
    """Destroy the data keys that this key of the ring wraps, and make a new one. What is to be done again, by kind.

    Provider keys fail until their credential is replaced. Client keys keep all but their text, and are to be rolled.
    Management keys are revoked. Webhooks are to be added again, and the client secret of single sign-on to be entered.
    """
    lock(organization)
    lost = set(organization.data_keys.filter(kek_id=kek_id).values_list("version", flat=True))
    if not lost:
        return Counter()
    data_keys.create(organization, version=organization.data_keys.aggregate(latest=Max("version"))["latest"] + 1)
    organization.data_keys.filter(version__in=lost).delete()
    again = Counter(
        {
            "provider keys": fail_keys(organization, lost),
            "client keys": empty_client_keys(organization, lost, by),
            "management keys": revoke_management_keys(organization, lost, by),
            "webhooks": count_sealed(Webhook.objects.filter(organization=organization), lost),
            "identity providers": count_sealed(IdentityProvider.objects.filter(organization=organization), lost),
        }
    )
    for retired in RetiredCredential.objects.filter(key__organization=organization):
        if is_sealed_by(retired, lost):
            retired.delete()
    tell(organization, by, "data_key:give_up", before={"versions": sorted(lost)}, after=again)
    notify(organization, again)
    return again


def fail_keys(organization: Organization, lost: Collection[int]) -> int:
    """Owners hear of each by mail, as of any that fails."""
    failing = [key for key in ProviderKey.objects.for_org(organization) if is_sealed_by(key, lost)]
    for key in failing:
        put_health(key, Health(State.FAILING, timezone.now().timestamp()))
        key.status_reason, key.needs_test, key.next_test_at = UNREADABLE, True, None
        key.save(update_fields=[*HEALTH_FIELDS, "needs_test", "next_test_at"])
    return len(failing)


@sensitive_variables("texts")
def empty_client_keys(organization: Organization, lost: Collection[int], by: Actor) -> int:
    """Each gets a text that nobody knows, and whose key it is hears of it. A text from before a roll stops with it."""
    emptied = 0
    for key in ClientKey.objects.live().filter(organization=organization):
        if not {key.pepper_version, key.rolled_pepper_version} & set(lost):
            continue
        if key.pepper_version in lost:
            before, (_, texts) = key.hint, client_keys.fresh_text(organization)
            for name, value in texts.items():
                setattr(key, name, value)
            tell(key, by, "client_key:give_up", before={"hint": before}, after={"hint": key.hint})
            client_keys.notify(key, "client_key:give_up", f"Client key {key} must be rolled", ROLL)
            emptied += 1
        client_keys.forget_rolled(key)
        key.save()
    return emptied


def revoke_management_keys(organization: Organization, lost: Collection[int], by: Actor) -> int:
    live = ManagementKey.objects.filter(organization=organization, revoked_at=None, pepper_version__in=lost)
    keys = list(live.select_related("organization"))
    for key in keys:
        revoke_management_key(key=key, by=by)
    return len(keys)


def count_sealed(rows: Iterable[Sealed], lost: Collection[int]) -> int:
    return sum(is_sealed_by(row, lost) for row in rows)


def is_sealed_by(row: Sealed, lost: Collection[int]) -> bool:
    _, version = vault.sealed_with(row.sealed)
    return version in lost


def notify(organization: Organization, again: Counter[str]) -> None:
    todo = "".join(f"- {sentence.format(count)}\n" for kind, sentence in TODO.items() if (count := again[kind]))
    Notice.objects.create(
        organization=organization,
        tag="data_key:give_up",
        subject=f"Secrets of {organization} must be entered again",
        body=f"The key that protected them is lost, so nobody can read them any more. Everything else is as it was.\n\n{todo}",
        path=reverse("provider_key_list", args=[organization.slug]),
    )


def give_up_second_factors(*, kek_id: str, by: Actor) -> int:
    """Remove the authenticator apps and recovery codes that this key of the ring sealed. Returns of how many people."""
    rows = [row for row in second_factors.rows() if second_factors.sealed_in(row).startswith(f"{kek_id}:")]
    people = User.objects.filter(pk__in={row.user_id for row in rows})
    for person in people:
        remove_second_factors(person, [row.pk for row in rows if row.user_id == person.pk], by)
    return len(people)


@transaction.atomic
def remove_second_factors(person: User, rows: Collection[int], by: Actor) -> None:
    lost = Authenticator.objects.filter(pk__in=rows)
    changes = {"removed": sorted(lost.values_list("type", flat=True))}
    lost.delete()
    record_everywhere(user=person, by=by, tag="member:second_factor", changes=changes)
