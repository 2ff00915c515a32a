"""Forms about a person's own account, and about what an organization asks of it."""

from datetime import datetime, timedelta
from typing import Any

from django import forms

from orgs import single_sign_on
from orgs.forms.fields import person_name
from orgs.models import Organization, User

OFF, AS_IT_IS = "off", "as it is"
GRACES = {"0": "Everyone, from now on", "7": "Everyone, in 7 days", "14": "Everyone, in 14 days", "30": "Everyone, in 30 days"}


class ProfileForm(forms.Form):
    name = person_name("Name")


class EmailForm(forms.Form):
    email = forms.EmailField(
        max_length=254,
        label="New email",
        help_text="We send a link there. Your address changes when you open it.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        error_messages={
            "required": "Enter your new email address.",
            "invalid": "Enter a whole email address, for example ada@example.com.",
        },
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if email == self.user.email:
            raise forms.ValidationError("That is your address already.")
        if single_sign_on.is_demanded(self.user.email):
            raise forms.ValidationError("Your organization’s own provider decides who you are, so your address stays here.")
        return email


class SecondFactorForm(forms.Form):
    """Who needs a second factor, and from when. A date that was set before may stay."""

    who = forms.ChoiceField(
        label="Who needs a second factor",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose one.", "invalid_choice": "Choose one of these."},
    )

    def __init__(self, *args: Any, organization: Organization, lacking: bool, **kwargs: Any) -> None:
        """lacking: whoever decides has none."""
        self.since, self.lacking = organization.second_factor_from, lacking
        kwargs["initial"] = {"who": AS_IT_IS if self.since else OFF}
        super().__init__(*args, **kwargs)
        kept = [(AS_IT_IS, f"Everyone, from {self.since:%-d %B %Y at %H:%M} UTC, as it is")] if self.since else []
        self.fields["who"].choices = [(OFF, "Nobody has to"), *kept, *GRACES.items()]  # type: ignore[attr-defined]

    def clean_who(self) -> str:
        who: str = self.cleaned_data["who"]
        if self.lacking and who in GRACES:
            raise forms.ValidationError("Set up a second factor of your own first, so that you do not lock yourself out.")
        return who

    def since_when(self, now: datetime) -> datetime | None:
        who = self.cleaned_data["who"]
        return self.since if who == AS_IT_IS else now + timedelta(days=int(who)) if who in GRACES else None
