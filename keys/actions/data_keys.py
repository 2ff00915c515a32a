"""A new data key for an organization, which what is sealed from now on comes under."""

from django.db import transaction
from django.db.models import Max

from keys import data_keys
from keys.actions.writing import lock
from orgs.actions import Actor, record
from orgs.models import Organization


@transaction.atomic
def add_data_key(*, organization: Organization, by: Actor) -> bool:
    """One more version, if there is any. What is sealed stays under the one before until `vault reseal` comes to it."""
    lock(organization)
    version = organization.data_keys.aggregate(latest=Max("version"))["latest"]
    if version is None:
        return False
    data_keys.create(organization, version=version + 1)
    changes = {"before": {"version": version}, "after": {"version": version + 1}}
    record(organization=organization, by=by, tag="data_key:add", target=organization, changes=changes)
    return True
