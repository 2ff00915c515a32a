"""The form of a webhook's address."""

from django import forms
from django.conf import settings

from keys.addresses import AddressRefused, AllowList, check_url
from orgs.models import Webhook

EXAMPLE = "for example https://alerts.example.com/keyhold"


class WebhookForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=Webhook._meta.get_field("url").max_length,
        help_text="Where your program listens. It starts with https:// and is on the public internet.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "inputmode": "url"}),
        error_messages={
            "required": f"Enter an address, {EXAMPLE}.",
            "max_length": "This is too long to be an address. 500 characters are the most.",
        },
    )

    def clean_url(self) -> str:
        try:
            return check_url(self.cleaned_data["url"], AllowList.parse(settings.EGRESS_ALLOW)).url
        except AddressRefused as refusal:
            problem = f"must name a host, {EXAMPLE}" if refusal.label == "Host" else refusal.reason
            raise forms.ValidationError(f"The address {problem}.") from None
