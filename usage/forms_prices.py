"""The forms of what the provider of a key charges: its price against the list, and its invoices."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict

from keys.models import ProviderKey
from usage import invoices
from usage.forms import AmountField
from usage.invoices import MOST_DOLLARS, Billed, month_of, read
from usage.models.prices import LIST

MOST_TIMES = 10
MOST_BYTES = 200_000
CHOOSE_KEY = {"required": "Choose a provider key.", "invalid_choice": "Choose a provider key from the list."}


def labeled(key: ProviderKey) -> str:
    return f"{key} (deleted)" if key.removed_at else str(key)


class KeyField(forms.TypedChoiceField):
    """One of the keys that the form is made with."""

    def __init__(self) -> None:
        super().__init__(label="Provider key", error_messages=CHOOSE_KEY)

    def offer(self, keys: Iterable[ProviderKey]) -> None:
        by_id = {str(key.pk): key for key in keys}
        self.choices = [("", "Choose a key"), *((pk, labeled(key)) for pk, key in by_id.items())]
        self.coerce = by_id.__getitem__


class KeyPriceForm(forms.Form):
    """`today` is that of the organization's time zone."""

    key = KeyField()
    multiplier = forms.DecimalField(
        help_text="What you pay for one dollar of the list price: 0.85 is 15% off.",
        min_value=0,
        max_value=MOST_TIMES,
        decimal_places=3,
        error_messages={
            "required": "Enter a multiplier, for example 0.85.",
            "invalid": "Enter a number, for example 0.85.",
            "min_value": "A multiplier cannot be negative.",
            "max_value": f"Enter at most {MOST_TIMES}.",
            "max_decimal_places": "Enter at most 3 decimals.",
        },
    )
    from_day = forms.DateField(
        label="From",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"required": "Choose the first day.", "invalid": "Write the day as 2026-12-01."},
    )

    def __init__(self, data: Mapping[str, Any] | None, keys: Iterable[ProviderKey], today: date) -> None:
        super().__init__(data, initial={"from_day": today})
        self.today = today
        self.fields["key"].offer(keys)  # type: ignore[attr-defined]

    def clean_multiplier(self) -> int:
        """In thousandths."""
        return int(self.cleaned_data["multiplier"] * LIST)

    def clean_from_day(self) -> date:
        day: date = self.cleaned_data["from_day"]
        if day < self.today:
            raise forms.ValidationError("Choose today or a later day. What is booked already keeps its cost.")
        return day


class InvoiceForm(forms.Form):
    """`latest`: the first day of the present month."""

    key = KeyField()
    month = forms.CharField(
        widget=forms.TextInput(attrs={"type": "month", "placeholder": "2026-10"}),
        error_messages={"required": "Choose a month."},
    )
    total = AmountField("Total in dollars", least="0.000000", most=MOST_DOLLARS, example="1234.56")

    def __init__(self, data: Mapping[str, Any] | None, keys: Iterable[ProviderKey], month: date, latest: date) -> None:
        super().__init__(data, initial={"month": f"{month:%Y-%m}"})
        self.latest = latest
        self.fields["key"].offer(keys)  # type: ignore[attr-defined]

    def clean_month(self) -> date:
        month = month_of(self.cleaned_data["month"])
        if month is None:
            raise forms.ValidationError("Write the month as 2026-10.")
        if month > self.latest:
            raise forms.ValidationError("This month has not begun.")
        return month

    @property
    def billed(self) -> Billed:
        said = self.cleaned_data
        return Billed(said["key"], said["month"], said["total"])


class InvoiceFileForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        help_text="With the columns key, month and total, for example: OpenAI Production,2026-10,1234.56",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={"required": "Choose a CSV file.", "empty": "This file is empty.", "invalid": "Choose a CSV file."},
    )

    def __init__(self, files: MultiValueDict[str, Any] | None, keys: list[ProviderKey], latest: date) -> None:
        super().__init__({} if files is not None else None, files)
        self.keys, self.latest = keys, latest

    def clean_file(self) -> list[Billed]:
        """What the file says; all that is wrong with it is told at once."""
        upload: UploadedFile[bytes] = self.cleaned_data["file"]
        if upload.size is None or upload.size > MOST_BYTES:
            raise forms.ValidationError("This file is larger than 200 kB.")
        try:
            return read(upload.read(), self.keys, self.latest)
        except invoices.Unreadable as error:
            raise forms.ValidationError(error.problems) from None
