"""The form of a new management key."""

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from keys.actions.client_keys import OVER
from keys.forms.client_keys import DAY, LAST_YEAR
from keys.forms.credentials import name_field
from orgs.models import Organization


class ManagementKeyForm(forms.Form):
    name = name_field("terraform")
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": "input"}),
        error_messages={"invalid": "Enter a day, for example 2027-03-31, or leave this empty."},
    )

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = ZoneInfo(organization.timezone)
        self.fields["expires_on"].help_text = f"It works until this day ends in {organization.timezone}. Empty: it never expires."

    def clean_expires_on(self) -> date | None:
        day: date | None = self.cleaned_data["expires_on"]
        if day and day.year > LAST_YEAR:
            raise forms.ValidationError(self.fields["expires_on"].error_messages["invalid"])
        if day and day < datetime.now(self.zone).date():
            raise forms.ValidationError(OVER)
        return day

    @property
    def expires_at(self) -> datetime | None:
        day: date | None = self.cleaned_data["expires_on"]
        return datetime.combine(day + DAY, time(), self.zone) if day else None
