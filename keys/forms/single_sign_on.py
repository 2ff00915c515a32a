"""The forms of single sign-on: what an owner says of the identity provider, and whose address somebody signs in with."""

from typing import Any

from django import forms
from django.conf import settings

from keys.actions.single_sign_on import Said, needs_secret
from keys.addresses import AddressRefused, AllowList, check_url, is_name
from orgs.models import IdentityProvider

ISSUER = "for example https://login.example.com"
MOST_GROUPS = 50
LONGEST_GROUP = 200
PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class StartForm(forms.Form):
    email = forms.EmailField(
        max_length=254,
        label="Email",
        help_text="The part after the @ tells us where you sign in.",
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
        error_messages={
            "required": "Enter your email address.",
            "invalid": "Enter a whole email address, for example ada@example.com.",
        },
    )


class ProviderForm(forms.Form):
    issuer = forms.CharField(
        max_length=300,
        label="Issuer",
        help_text="The address of your provider, as it calls itself.",
        widget=forms.TextInput(attrs=PLAIN | {"inputmode": "url"}),
        error_messages={"required": f"Enter an address, {ISSUER}."},
    )
    client_id = forms.CharField(
        max_length=300,
        label="Client ID",
        help_text="What your provider calls Keyhold.",
        widget=forms.TextInput(attrs=PLAIN),
        error_messages={"required": "Enter the client ID that your provider shows."},
    )
    client_secret = forms.CharField(
        max_length=1000,
        label="Client secret",
        widget=forms.PasswordInput(attrs=PLAIN | {"autocomplete": "new-password"}),
        error_messages={"required": "Paste the client secret that your provider shows."},
    )
    domain = forms.CharField(
        max_length=253,
        label="Domain",
        help_text="People whose address ends in it sign in by your provider.",
        widget=forms.TextInput(attrs=PLAIN | {"inputmode": "url"}),
        error_messages={"required": "Enter a domain, for example example.com."},
    )
    groups_claim = forms.CharField(
        max_length=60,
        required=False,
        label="Claim with groups",
        help_text="Where the token lists a person’s groups. Mostly groups or roles.",
        widget=forms.TextInput(attrs=PLAIN),
    )
    owner_groups = forms.CharField(
        required=False,
        max_length=MOST_GROUPS * (LONGEST_GROUP + 2),
        label="Groups of owners",
        help_text="One on each line. Then groups decide, at each sign-in, who is an owner; everybody else is a member. "
        "Auditors stay auditors, and the last owner stays one. Empty: you decide on the page “Members”.",
        widget=forms.Textarea(attrs=PLAIN | {"rows": 3}),
    )

    def __init__(self, *args: Any, provider: IdentityProvider | None, **kwargs: Any) -> None:
        initial = {"groups_claim": "groups"}
        if provider:
            kept = {name: getattr(provider, name) for name in ("issuer", "client_id", "domain", "groups_claim")}
            initial = kept | {"owner_groups": "\n".join(provider.owner_groups)}
        super().__init__(*args, initial=initial, **kwargs)
        self.provider = provider
        self.fields["client_secret"].required = provider is None
        self.fields["client_secret"].help_text = (
            "One is kept. Paste another to replace it." if provider else "It is kept encrypted, and never shown again."
        )

    def clean_issuer(self) -> str:
        try:
            checked = check_url(self.cleaned_data["issuer"], AllowList.parse(settings.EGRESS_ALLOW)).url
        except AddressRefused as refusal:
            problem = f"must name a host, {ISSUER}" if refusal.label == "Host" else refusal.reason
            raise forms.ValidationError(f"The address {problem}.") from None
        if "?" in checked:
            raise forms.ValidationError("The address may not hold a question mark.")
        return checked

    def clean_client_secret(self) -> str:
        secret: str = self.cleaned_data["client_secret"]
        if not (secret.isascii() and secret.isprintable()):
            raise forms.ValidationError("The secret holds a character that no provider uses. Paste it again.")
        return secret

    def clean_domain(self) -> str:
        domain: str = self.cleaned_data["domain"].lower().removeprefix("@")
        if not is_name(domain) or "." not in domain:
            raise forms.ValidationError("This is not a domain. Enter what follows the @, for example example.com.")
        return domain

    def clean_owner_groups(self) -> list[str]:
        groups = [line.strip() for line in self.cleaned_data["owner_groups"].splitlines() if line.strip()]
        if len(groups) > MOST_GROUPS or any(len(group) > LONGEST_GROUP for group in groups):
            raise forms.ValidationError(f"{MOST_GROUPS} groups are the most, of {LONGEST_GROUP} letters each.")
        return list(dict.fromkeys(groups))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        lacks_secret = {"issuer", "client_id"} <= data.keys() and data.get("client_secret") == ""
        if lacks_secret and needs_secret(self.provider, data["issuer"], data["client_id"]):
            self.add_error(
                "client_secret", "The secret that is kept was made for another address or client. Paste the one for this."
            )
        if data.get("owner_groups") and not data.get("groups_claim"):
            self.add_error("groups_claim", "Say which claim holds the groups, or name no groups.")
        return data

    @property
    def said(self) -> Said:
        return Said(**{name: self.cleaned_data[name] for name in Said.__annotations__})  # type: ignore[typeddict-item]
