"""What django-allauth asks about this product."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.http import HttpRequest
from django.urls import reverse

from orgs.models import User


class PeopleAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "That email and password do not belong together. Check both, or reset the password.",
        "enter_current_password": "That is not your current password.",
        "incorrect_password": "That is not your password.",
        "too_many_login_attempts": "Too many wrong passwords. Wait five minutes, or reset the password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people come by an owner's invitation or the operator's link."""
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("mfa_index")

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """To the address a person signs in with; allauth's own table of addresses stays empty."""
        super().send_notification_mail(template_prefix, user, context, email or user.email)


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "That code is wrong or too old. Wait for the next one and enter that.",
    }

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        count = Authenticator.objects.filter(user=user, type=type).count()
        return f"Passkey {count + 1}" if count else "Passkey"
