"""The form for whom and what a provider key serves. All, or a list that is not empty."""

from typing import Any
from uuid import UUID

from django import forms

from keys.actions.restricting import EMPTY, GONE
from keys.models import ClientKey, ProviderKey
from keys.restrictions import read_patterns
from orgs.models import Membership

ALL, SOME = "", "some"
LISTS = ("models", "members", "client_keys")
PLAIN = {"class": "area mono", "rows": 6, "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
UNSAID = "Choose all of them, or only some."


def scope(label: str, every: str, some: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, choices=((ALL, every), (SOME, some)), widget=forms.RadioSelect)


class RestrictionForm(forms.Form):
    """Each list has a choice beside it, so that an empty list is never taken for all. `chosen` is what a valid form says."""

    every_models = scope("Models", "Every model that it can serve", "Only these models")
    models = forms.CharField(
        label="Models, one on each line",
        help_text="As programs ask for them, for example `openai/gpt-4o`; `*` stands for any characters: `openai/gpt-4*`.",
        required=False,
        widget=forms.Textarea(attrs=PLAIN),
        template_name="keys/fields/text.html",
    )
    every_members = scope("Members", "Everybody", "Only these members")
    members = forms.TypedMultipleChoiceField(
        coerce=int, required=False, widget=forms.CheckboxSelectMultiple, error_messages={"invalid_choice": GONE["members"]}
    )
    every_client_keys = scope("Client keys", "All client keys", "Only these client keys")
    client_keys = forms.TypedMultipleChoiceField(
        coerce=UUID, required=False, widget=forms.CheckboxSelectMultiple, error_messages={"invalid_choice": GONE["client_keys"]}
    )

    def __init__(self, *args: Any, key: ProviderKey, **kwargs: Any) -> None:
        kwargs["initial"] = initial_of(key)
        super().__init__(*args, **kwargs)
        people = Membership.objects.for_org(key.organization).select_related("user").order_by("user__name", "user__email")
        programs = ClientKey.objects.for_org(key.organization).live()
        self.fields["members"].choices = [(each.user.pk, called(each)) for each in people]  # type: ignore[attr-defined]
        self.fields["client_keys"].choices = [(each.pk, each.name) for each in programs]  # type: ignore[attr-defined]

    def clean_models(self) -> tuple[str, ...]:
        if not self.limits("models"):
            return ()
        patterns, problems = read_patterns(self.cleaned_data["models"])
        if problems:
            raise forms.ValidationError(problems)
        return patterns

    def clean(self) -> dict[str, Any]:
        """A form that says nothing of a list lifts no limit."""
        for name in LISTS:
            if f"every_{name}" not in self.data:
                self.add_error(name, UNSAID)
            elif not self.limits(name):
                self.errors.pop(name, None)
                self.cleaned_data[name] = None
            elif name not in self.errors and not self.cleaned_data[name]:
                self.add_error(name, EMPTY[name])
        return self.cleaned_data

    def limits(self, name: str) -> bool:
        return bool(self.cleaned_data.get(f"every_{name}") == SOME)

    @property
    def chosen(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in LISTS}

    @property
    def lists(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[f"every_{name}"], self[name]) for name in LISTS]


def initial_of(key: ProviderKey) -> dict[str, Any]:
    """Who is no member and what is revoked has no box any more, so saving drops it."""
    kept = {"models": key.allowed_models, "members": key.allowed_members, "client_keys": key.allowed_client_keys}
    scopes = {f"every_{name}": ALL if allowed is None else SOME for name, allowed in kept.items()}
    return scopes | kept | {"models": "\n".join(key.allowed_models or ())}


def called(membership: Membership) -> str:
    """Two people may have one name."""
    user = membership.user
    return f"{user.name} ({user.email})" if user.name else user.email
