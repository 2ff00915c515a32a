"""Forms about who belongs to an organization."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from orgs.actions.invitations import MOST_AT_ONCE, members_among
from orgs.actions.members import ROLES
from orgs.forms.fields import check_new_password, new_password, person_name
from orgs.models import MEMBER, Organization

SEPARATOR = re.compile(r"[\s,;]+")
LONGEST = 254
TOO_MANY = f"Invite {MOST_AT_ONCE} at a time at most."


def role_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        label="Role",
        choices=[(role, role) for role in ROLES],
        error_messages={"required": "Choose a role.", "invalid_choice": "Choose a role from the list."},
    )


class RoleForm(forms.Form):
    role = role_field()


class InviteForm(forms.Form):
    """Several addresses, one role. `addresses` are those of a valid form, in lower case, each once."""

    emails = forms.CharField(
        label="Email addresses",
        max_length=MOST_AT_ONCE * (LONGEST + 2),
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text="One on each line. Invitations last 7 days.",
        error_messages={
            "required": "Enter at least one email address.",
            "max_length": TOO_MANY,
        },
    )
    role = role_field()

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("role", MEMBER)
        self.organization = organization

    def clean_emails(self) -> list[str]:
        found = list(addresses(self.cleaned_data["emails"]))
        if len(found) > MOST_AT_ONCE:
            raise ValidationError(f"{TOO_MANY} These are {len(found)}.")
        members = members_among(self.organization, {email for _, email in found})
        problems = [f"Line {line}: {problem}" for line, email in found if (problem := problem_of(email, members))]
        if problems or not found:
            raise ValidationError(problems or [self.fields["emails"].error_messages["required"]])
        return list(dict.fromkeys(email for _, email in found))


def addresses(text: str) -> list[tuple[int, str]]:
    """Each with the number of its line. Several on one line may be separated by commas, semicolons or spaces."""
    lines = enumerate(text.splitlines(), 1)
    return [(number, email.lower()) for number, line in lines for email in SEPARATOR.split(line) if email]


def problem_of(email: str, members: set[str]) -> str:
    if email in members:
        return f"{email} is already a member."
    try:
        validate_email(email)
    except ValidationError:
        return f"“{email[:80]}” is not a whole email address."
    return f"“{email[:80]}…” is too long." if len(email) > LONGEST else ""


class JoinForm(forms.Form):
    """A new account for the address of an invitation."""

    name = person_name()
    password = new_password()

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean(self) -> dict[str, Any]:
        check_new_password(self, self.email)
        return self.cleaned_data
