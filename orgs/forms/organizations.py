"""Forms about organizations."""

from typing import Any
from zoneinfo import available_timezones

from django import forms

from orgs.forms.fields import NameField, check_new_password, new_password, person_name
from orgs.models import Organization


class OrganizationForm(forms.Form):
    name = NameField(
        max_length=60,
        label="Name",
        help_text="Your company or team. Its address is made from it.",
        error_messages={"required": "Enter a name, for example Acme."},
    )


def time_zones() -> list[tuple[str, str]]:
    """Places by the names that the time zone database has for them, UTC first."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/", "posix/")))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class SettingsForm(forms.ModelForm):
    """One card of the settings. Its name tells which fields were sent."""

    class Meta:
        model = Organization
        fields: tuple[str, ...] = ()

    @property
    def said(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.fields}


class GeneralForm(SettingsForm):
    name = NameField(
        max_length=60,
        label="Name",
        help_text="Its address stays as it is.",
        error_messages={"required": "Enter a name, for example Acme."},
    )
    timezone = forms.ChoiceField(
        label="Time zone",
        choices=time_zones,
        help_text="Days of usage and budgets begin at midnight there.",
        error_messages={"required": "Choose a time zone.", "invalid_choice": "Choose a time zone from the list."},
    )

    class Meta(SettingsForm.Meta):
        fields = ("name", "timezone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """A zone that was set otherwise and is not offered stays until another is chosen."""
        super().__init__(*args, **kwargs)
        field, kept = self.fields["timezone"], self.initial["timezone"]
        assert isinstance(field, forms.ChoiceField)
        offered = list(field.choices)
        field.choices = offered if kept in dict(offered) else [(kept, kept), *offered]


class MembersForm(SettingsForm):
    class Meta(SettingsForm.Meta):
        fields = ("members_issue_keys", "members_see_all")
        labels = {
            "members_issue_keys": "Let members create client keys",
            "members_see_all": "Let members see whose usage is whose",
        }
        help_texts = {
            "members_issue_keys": "They see and manage only their own. Your limits hold for these too.",
            "members_see_all": "Otherwise they see totals, and their own client keys by name.",
        }


class SupportForm(SettingsForm):
    class Meta(SettingsForm.Meta):
        fields = ("support_needs_grant",)
        labels = {"support_needs_grant": "Support asks an owner first"}
        help_texts = {
            "support_needs_grant": "Then it opens this organization only while an owner allows it, for 24 hours at a time."
        }


class SetupForm(forms.Form):
    """The first organization and its owner. The page and `manage.py setup` share it."""

    organization_name = NameField(
        max_length=60,
        label="Organization",
        help_text="Your company or team.",
        error_messages={"required": "Enter a name for the organization, for example Acme."},
    )
    name = person_name(required=False)
    email = forms.EmailField(
        max_length=254,
        label="Email",
        help_text="You sign in with it.",
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
        error_messages={
            "required": "Enter your email address.",
            "invalid": "Enter a whole email address, for example ada@example.com.",
        },
    )
    password = new_password()

    def clean(self) -> dict[str, Any]:
        check_new_password(self, self.cleaned_data.get("email", ""))
        return self.cleaned_data
