"""The forms of what providers charge: for a model, with a key against the list, and on their invoices."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import RegexValidator
from django.utils.datastructures import MultiValueDict

from keys.models import ProviderKey, provider_choices
from keys.overrides import MAX_SLUG, NATIVE, spelled
from keys.providers import PROVIDERS
from usage import invoices
from usage.figures import MICRO
from usage.forms import AmountField
from usage.invoices import MOST_DOLLARS, Billed, month_of, read
from usage.models.prices import LIST

MOST_A_MILLION = 10_000  # dollars for a million tokens
MOST_TIMES = 10
MOST_BYTES = 200_000
CHOOSE = ("", "Choose a key")
EVERY = ("every", "Every key of the provider")
TOO_LONG = "This is too long to be a model’s name."
CHOOSE_KEY = {"required": "Choose a provider key.", "invalid_choice": "Choose a provider key from the list."}


def labeled(key: ProviderKey) -> str:
    return f"{key} (deleted)" if key.removed_at else str(key)


def providers() -> list[tuple[str, str]]:
    return [("", "Choose a provider"), *provider_choices()]


class KeyField(forms.TypedChoiceField):
    """One of the keys that the form is made with; None for what is offered besides."""

    def __init__(self, label: str = "Provider key", besides: tuple[str, str] = CHOOSE) -> None:
        super().__init__(label=label, error_messages=CHOOSE_KEY)
        self.besides = besides

    def offer(self, keys: Iterable[ProviderKey]) -> None:
        by_id = {str(key.pk): key for key in keys}
        self.choices = [self.besides, *((pk, labeled(key)) for pk, key in by_id.items())]
        self.coerce = by_id.get


class PriceField(forms.DecimalField):
    """Dollars go in, millionths of a dollar come out; None where nothing was said and nothing need be."""

    def __init__(self, label: str, **options: Any) -> None:
        errors = {
            "required": "Enter a price, or 0 where there is nothing to pay.",
            "invalid": "Enter dollars as a number, for example 2.50.",
            "min_value": "A price cannot be negative.",
            "max_value": f"Enter at most {MOST_A_MILLION:,} dollars for a million tokens.",
            "max_decimal_places": "Enter at most 6 decimals.",
        }
        super().__init__(label=label, min_value=0, max_value=MOST_A_MILLION, decimal_places=6, error_messages=errors, **options)

    def clean(self, value: Any) -> int | None:
        dollars = super().clean(value)
        return None if dollars is None else int(dollars * MICRO)


class PriceForm(forms.Form):
    """A price from a day on. `today` is that of the organization's time zone."""

    from_day = forms.DateField(
        label="From",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"required": "Choose the first day.", "invalid": "Write the day as 2026-12-01."},
    )

    def __init__(self, data: Mapping[str, Any] | None, keys: Iterable[ProviderKey], today: date, **options: Any) -> None:
        super().__init__(data, initial={"from_day": today}, **options)
        self.today = today
        self.fields["key"].offer(keys)  # type: ignore[attr-defined]

    def clean_from_day(self) -> date:
        day: date = self.cleaned_data["from_day"]
        if day < self.today:
            raise forms.ValidationError("Choose today or a later day. What is booked already keeps its cost.")
        return day


class ModelPriceForm(PriceForm):
    provider = forms.ChoiceField(
        choices=providers,
        error_messages={"required": "Choose a provider.", "invalid_choice": "Choose a provider from the list."},
    )
    model = forms.CharField(
        help_text="As your programs ask for it, for example meta/llama-4-maverick.",
        max_length=MAX_SLUG,
        validators=[RegexValidator(rf"\A{NATIVE.pattern}\Z", "A model’s name has no spaces.")],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Enter the model, for example meta/llama-4-maverick.", "max_length": TOO_LONG},
    )
    key = KeyField("Counts for", EVERY)
    input = PriceField("Dollars per million input tokens")
    output = PriceField("Dollars per million output tokens")
    cached_input = PriceField(
        "Dollars per million cached input tokens", required=False, help_text="If you leave it empty, they cost what input costs."
    )

    field_order = ["provider", "model", "key", "from_day", "input", "output", "cached_input"]

    def clean_model(self) -> str:
        """The slug, however it was spelled. One without an author gets longer."""
        slug = spelled(self.cleaned_data["model"])
        if len(slug) > MAX_SLUG:
            raise forms.ValidationError(TOO_LONG)
        return slug

    def clean(self) -> dict[str, Any]:
        """What a budget holds counts no input as cached, so that may not cost more."""
        said = self.cleaned_data
        provider, key = said.get("provider"), said.get("key")
        if provider and key and key.provider != provider:
            self.add_error("key", f"“{key}” is not a key of {PROVIDERS[provider].label}. Choose one that is, or every key.")
        fresh, cached = said.get("input"), said.get("cached_input")
        if fresh is not None and cached is not None and cached > fresh:
            self.add_error("cached_input", "Cached input cannot cost more than input.")
        return said


class KeyPriceForm(PriceForm):
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
    field_order = ["key", "multiplier", "from_day"]

    def __init__(self, data: Mapping[str, Any] | None, keys: Iterable[ProviderKey], today: date) -> None:
        super().__init__(data, keys, today, auto_id="id_key_%s")

    def clean_multiplier(self) -> int:
        """In thousandths."""
        return int(self.cleaned_data["multiplier"] * LIST)


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
