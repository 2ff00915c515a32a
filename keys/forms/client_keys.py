"""Forms for client keys: what one is for and until when, how long a rolled text works on, whose a key is."""

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms

from keys.actions.client_keys import NO_NETWORKS, NO_PROVIDER_KEYS, OVER, PROVIDER_KEY_GONE, Terms
from keys.actions.restricting import EMPTY
from keys.forms.credentials import name_field
from keys.forms.restrictions import ALL, PLAIN, SOME, UNSAID, called, scope
from keys.models import ClientKey, ProviderKey
from keys.networks import read_networks
from keys.restrictions import read_patterns
from orgs.models import Membership, Organization, User

LISTS = {"models": EMPTY["models"], "provider_keys": NO_PROVIDER_KEYS, "networks": NO_NETWORKS}
DAY = timedelta(days=1)
LAST_YEAR = 9000  # so that there is a day after every day
OWNERSHIP = "Its requests count as theirs, and they hear before it expires."
CHOOSE = "Choose a member"
GRACES = {"0": "At once", "1": "In 1 hour", "24": "In 24 hours", "168": "In 7 days"}


class ClientKeyForm(forms.Form):
    """Each list has a choice beside it, so that an empty list is never taken for all. `terms` is what a valid form says.

    key: the one that is changed. Without it, a new one is made, for which a list that is not spoken of means all.
    by: an owner who makes it, and may choose whose it is.
    """

    name = name_field("web-app")
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": "input"}),
        error_messages={"invalid": "Enter a day, for example 2027-03-31, or leave this empty."},
    )
    every_models = scope("Models", "Every model that provider keys serve", "Only these models")
    models = forms.CharField(
        label="Models, one on each line",
        help_text="As programs ask for them, for example `openai/gpt-4o`; `*` stands for any characters: `openai/gpt-4*`.",
        required=False,
        widget=forms.Textarea(attrs=PLAIN),
        template_name="keys/fields/text.html",
    )
    every_provider_keys = scope("Provider keys", "All provider keys", "Only these provider keys")
    provider_keys = forms.TypedMultipleChoiceField(
        coerce=UUID,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": PROVIDER_KEY_GONE},
    )
    every_networks = scope("Networks", "From everywhere", "Only from these networks")
    networks = forms.CharField(
        label="Addresses and networks, one on each line",
        help_text="For example `10.0.0.0/8`, `2001:db8::/32` or `198.51.100.7`.",
        required=False,
        widget=forms.Textarea(attrs=PLAIN),
        template_name="keys/fields/text.html",
    )

    def __init__(
        self, *args: Any, organization: Organization, key: ClientKey | None = None, by: User | None = None, **kwargs: Any
    ) -> None:
        self.zone, self.key = ZoneInfo(organization.timezone), key
        kwargs["initial"] = initial_of(key, self.zone) if key else {f"every_{name}": ALL for name in LISTS}
        super().__init__(*args, **kwargs)
        self.fields["expires_on"].help_text = f"It works until this day ends in {organization.timezone}. Empty: it never expires."
        rows = ProviderKey.objects.for_org(organization)
        self.fields["provider_keys"].choices = [(row.pk, str(row)) for row in rows]  # type: ignore[attr-defined]
        if by:
            self.fields["owner"] = owner_field(organization, "Owner", OWNERSHIP, "You", without=by)

    def clean_expires_on(self) -> date | None:
        day: date | None = self.cleaned_data["expires_on"]
        if day and day.year > LAST_YEAR:
            raise forms.ValidationError(self.fields["expires_on"].error_messages["invalid"])
        if day and day != self.initial.get("expires_on") and day < datetime.now(self.zone).date():
            raise forms.ValidationError(OVER)
        return day

    def clean_models(self) -> tuple[str, ...]:
        return self.lines("models", read_patterns)

    def clean_networks(self) -> tuple[str, ...]:
        return self.lines("networks", read_networks)

    def lines(self, name: str, read: Any) -> tuple[str, ...]:
        if not self.limits(name):
            return ()
        found, problems = read(self.cleaned_data[name])
        if problems:
            raise forms.ValidationError(problems)
        return tuple(found)

    def clean(self) -> dict[str, Any]:
        for name, empty in LISTS.items():
            if self.key and f"every_{name}" not in self.data:  # a form that says nothing of a list lifts no limit
                self.add_error(name, UNSAID)
            elif not self.limits(name):
                self.errors.pop(name, None)
                self.cleaned_data[name] = None
            elif name not in self.errors and not self.cleaned_data[name]:
                self.add_error(name, empty)
        return self.cleaned_data

    def limits(self, name: str) -> bool:
        return bool(self.cleaned_data.get(f"every_{name}") == SOME)

    @property
    def terms(self) -> Terms:
        said = {name: self.cleaned_data[name] for name in LISTS}
        return Terms(expires_at=self.end_of(self.cleaned_data["expires_on"]), **said)

    def end_of(self, day: date | None) -> datetime | None:
        """The end of a day there, or the very time that a key has already which is not the end of a day."""
        if day and self.key and day == self.initial["expires_on"]:
            return self.key.expires_at
        return datetime.combine(day + DAY, time(), self.zone) if day else None

    @property
    def chosen_owner(self) -> User | None:
        chosen: Membership | None = self.cleaned_data.get("owner")
        return chosen.user if chosen else None

    @property
    def lists(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[f"every_{name}"], self[name]) for name in LISTS]


class People(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return called(obj)


def owner_field(organization: Organization, label: str, help_text: str, nobody: str, *, without: User | None) -> People:
    people = Membership.objects.for_org(organization).select_related("user").order_by("user__name", "user__email")
    return People(
        people.exclude(user=without) if without else people,
        label=label,
        help_text=help_text,
        required=False,
        empty_label=nobody,
        widget=forms.Select(attrs={"class": "select"}),
        error_messages={"invalid_choice": "Choose a member of the organization.", "required": "Choose who gets it."},
    )


def initial_of(key: ClientKey, zone: ZoneInfo) -> dict[str, Any]:
    """What is deleted has no box any more, so saving drops it."""
    kept = {"models": key.allowed_models, "provider_keys": key.allowed_provider_keys, "networks": key.allowed_networks}
    scopes = {f"every_{name}": ALL if allowed is None else SOME for name, allowed in kept.items()}
    written = {name: "\n".join(kept[name] or ()) for name in ("models", "networks")}
    return {"name": key.name, "expires_on": last_day(key, zone)} | scopes | kept | written


def last_day(key: ClientKey, zone: ZoneInfo) -> date | None:
    """The day at whose end, or on which, it expires there."""
    return (key.expires_at - timedelta(microseconds=1)).astimezone(zone).date() if key.expires_at else None


class RollForm(forms.Form):
    """How long the present text works on, and which it is: a form that is sent twice must not stop it early."""

    public_id = forms.CharField(widget=forms.HiddenInput)
    grace = forms.ChoiceField(
        label="The present text stops",
        choices=tuple(GRACES.items()),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose when the present text stops."},
    )

    @property
    def hours(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["grace"]))


class HandOverForm(forms.Form):
    """To whom a key goes."""

    def __init__(self, *args: Any, key: ClientKey, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        help_text = "Its requests count as theirs from then on."
        self.fields["owner"] = owner_field(key.organization, "New owner", help_text, CHOOSE, without=key.owner)
        self.fields["owner"].required = True


class LeavingForm(forms.Form):
    """What becomes of all client keys of somebody who leaves."""

    REVOKE, HAND_OVER = "revoke", "hand-over"
    choice = forms.ChoiceField(
        choices=((REVOKE, "Revoke them: their programs are refused"), (HAND_OVER, "Hand them over: their programs go on")),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what becomes of the keys."},
    )

    def __init__(self, *args: Any, organization: Organization, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        help_text = "Their requests count as this member’s from then on."
        self.fields["owner"] = owner_field(organization, "New owner", help_text, CHOOSE, without=user)

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if said.get("choice") == self.HAND_OVER and not said.get("owner") and "owner" not in self.errors:
            self.add_error("owner", "Choose who gets the keys.")
        return said

    @property
    def to(self) -> User | None:
        return self.cleaned_data["owner"].user if self.cleaned_data["choice"] == self.HAND_OVER else None


class ReportForm(forms.Form):
    """The text of a key that was found. It never comes back in a page."""

    key = forms.CharField(
        label="The key",
        help_text="The whole of it. It begins with byok_live_ or byok_admin_.",
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Paste the key that you found.", "max_length": "This is too long to be one of our keys."},
    )
