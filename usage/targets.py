"""Who limits and budgets are for: the organization, its members, client keys and provider keys. Rows name them by text."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from keys.models import ClientKey, ProviderKey
from orgs.models import Membership, Organization, User
from usage.models import Scope

EVERYBODY = Q()

type Row = Organization | User | ClientKey | ProviderKey


class NoSuchTarget(ValueError):
    """The organization has nothing of that kind by that id, or not any more."""


@dataclass(frozen=True, slots=True)
class Target:
    """`note` tells apart what has one name; `row` is what it stands for."""

    scope: Scope
    id: str
    name: str
    note: str
    row: Row

    def __str__(self) -> str:
        return self.name


def find(organization: Organization, scope: str, id: str) -> Target:
    """Raises NoSuchTarget."""
    kind = Scope(scope)
    try:
        target = next(_read(organization, kind, _which(kind, id)))
    except (ValueError, OverflowError, StopIteration):  # SQLite takes no number of any length
        raise NoSuchTarget(f"{scope} {id}") from None
    if target.id != id:
        raise NoSuchTarget(f"{scope} {id}")  # the same, spelled otherwise
    return target


def _which(scope: Scope, id: str) -> Q:
    match scope:
        case Scope.ORGANIZATION:
            return EVERYBODY
        case Scope.MEMBER:
            return Q(user=int(id))
    return Q(pk=UUID(id))


def everything(organization: Organization, only: int | None) -> dict[Scope, list[Target]]:
    """All that can have limits, in three queries; no other person and no other person's client key where there is `only` one."""
    return {scope: of_scope(organization, scope, only) for scope in Scope}


def of_scope(organization: Organization, scope: Scope, only: int | None) -> list[Target]:
    own = {Scope.MEMBER: Q(user=only), Scope.CLIENT_KEY: Q(owner=only) | Q(owner=None, created_by=only)} if only else {}
    return list(_read(organization, scope, own.get(scope, EVERYBODY)))


def _read(organization: Organization, scope: Scope, which: Q) -> Iterator[Target]:
    match scope:
        case Scope.ORGANIZATION:
            yield Target(scope, "", organization.name, "All its requests together", organization)
        case Scope.MEMBER:
            people = Membership.objects.for_org(organization).filter(which).select_related("user")
            for user in (each.user for each in people.order_by("user__name", "user__email")):
                yield Target(scope, str(user.pk), str(user), user.email if user.name else "", user)
        case Scope.CLIENT_KEY:
            for client in ClientKey.objects.for_org(organization).live().filter(which):
                yield Target(scope, str(client.pk), client.name, client.hint, client)
        case Scope.PROVIDER_KEY:
            for key in ProviderKey.objects.for_org(organization).filter(which):
                yield Target(scope, str(key.pk), key.name, key.row.label, key)
