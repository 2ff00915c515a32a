"""Forms about people and organizations."""

from typing import Any

from django import forms
from django.contrib.auth import password_validation

from orgs import names
from orgs.models import User


class NameField(forms.CharField):
    """A name that keeps the rules of orgs/names.py."""

    def to_python(self, value: Any) -> str:
        try:
            return names.clean(super().to_python(value) or "")
        except ValueError as problem:
            raise forms.ValidationError(str(problem)) from None


class OrganizationForm(forms.Form):
    name = NameField(
        max_length=60,
        label="Name",
        help_text="Your company or team. Its address is made from it.",
        error_messages={"required": "Enter a name, for example Acme."},
    )


class ProfileForm(forms.ModelForm):
    name = NameField(
        max_length=80,
        label="Name",
        help_text="Shown to the people you work with.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": "Enter your name."},
    )

    class Meta:
        model = User
        fields = ("name",)


class SetupForm(forms.Form):
    """The first organization and its owner. The page and `manage.py setup` share it."""

    organization_name = NameField(
        max_length=60,
        label="Organization",
        help_text="Your company or team.",
        error_messages={"required": "Enter a name for the organization, for example Acme."},
    )
    name = NameField(
        max_length=80,
        required=False,
        label="Your name",
        help_text="Shown to the people you work with.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
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
    password = forms.CharField(
        max_length=200,
        strip=False,
        label="Password",
        help_text="At least 10 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Choose a password."},
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "password" in data:
            person = User(email=data.get("email", ""), name=data.get("name", ""))
            try:
                password_validation.validate_password(data["password"], person)
            except forms.ValidationError as problem:
                self.add_error("password", problem)
        return data
