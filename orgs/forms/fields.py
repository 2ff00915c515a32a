"""Fields that several forms have: names, and a password that is chosen."""

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


def person_name(label: str = "Your name", *, required: bool = True) -> NameField:
    return NameField(
        max_length=80,
        required=required,
        label=label,
        help_text="Shown to the people you work with.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": "Enter your name."},
    )


def new_password() -> forms.CharField:
    return forms.CharField(
        max_length=200,
        strip=False,
        label="Password",
        help_text="At least 10 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Choose a password."},
    )


def check_new_password(form: forms.Form, email: str) -> None:
    """Its rules know whose it is. Call it where the other fields are clean."""
    data = form.cleaned_data
    if "password" in data:
        try:
            password_validation.validate_password(data["password"], User(email=email, name=data.get("name", "")))
        except forms.ValidationError as problem:
            form.add_error("password", problem)
