"""The form of an organization's own price for a model."""

from typing import Any

from django import forms
from django.core.validators import RegexValidator

from keys.models import provider_choices
from keys.overrides import MAX_SLUG, NATIVE, spelled
from usage.figures import MICRO

MOST_DOLLARS = 10_000
TOO_LONG = "This is too long to be a model’s name."


def choices() -> list[tuple[str, str]]:
    return [("", "Choose a provider"), *provider_choices()]


class PriceField(forms.DecimalField):
    """Dollars go in, millionths of a dollar come out."""

    def __init__(self, label: str) -> None:
        errors = {
            "required": "Enter a price, or 0 where there is nothing to pay.",
            "invalid": "Enter dollars as a number, for example 2.50.",
            "min_value": "A price cannot be negative.",
            "max_value": f"Enter at most {MOST_DOLLARS:,} dollars for a million tokens.",
            "max_decimal_places": "Enter at most 6 decimals.",
        }
        super().__init__(label=label, min_value=0, max_value=MOST_DOLLARS, decimal_places=6, error_messages=errors)

    def clean(self, value: Any) -> int:
        return int(super().clean(value) * MICRO)


class ModelPriceForm(forms.Form):
    provider = forms.ChoiceField(
        choices=choices,
        error_messages={"required": "Choose a provider.", "invalid_choice": "Choose a provider from the list."},
    )
    model = forms.CharField(
        help_text="As your programs ask for it, for example meta/llama-4-maverick.",
        max_length=MAX_SLUG,
        validators=[RegexValidator(rf"\A{NATIVE.pattern}\Z", "A model’s name has no spaces.")],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Enter the model, for example meta/llama-4-maverick.", "max_length": TOO_LONG},
    )
    input = PriceField("Dollars per million input tokens")
    output = PriceField("Dollars per million output tokens")

    def clean_model(self) -> str:
        """The slug, however it was spelled. One without an author gets longer."""
        slug = spelled(self.cleaned_data["model"])
        if len(slug) > MAX_SLUG:
            raise forms.ValidationError(TOO_LONG)
        return slug
