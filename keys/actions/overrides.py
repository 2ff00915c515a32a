"""Writes about names for models."""

from collections.abc import Mapping

from django.db import transaction

from keys.actions.writing import lock, tell
from keys.models import ModelOverride
from orgs.actions import Actor
from orgs.models import Organization


@transaction.atomic
def set_overrides(*, organization: Organization, provider: str, overrides: Mapping[str, str], by: Actor) -> None:
    """From now on these, and no others, are the organization's names for models of the provider."""
    lock(organization)
    present = ModelOverride.objects.for_org(organization).filter(provider=provider)
    before = dict(present.values_list("slug", "native_model"))
    if before == overrides:
        return
    present.delete()
    ModelOverride.objects.bulk_create(
        ModelOverride(organization=organization, provider=provider, slug=slug, native_model=native)
        for slug, native in overrides.items()
    )
    tell(
        organization,
        by,
        "model_override:set",
        before={"provider": provider, "models": before},
        after={"provider": provider, "models": dict(overrides)},
    )
