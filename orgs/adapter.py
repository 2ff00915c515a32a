"""What django-allauth asks about this product."""

from functools import partial
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from orgs import confirming, single_sign_on
from orgs.actions import Actor, address_of
from orgs.actions.account import set_password
from orgs.models import User

WAYS = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code",
    "mfa_reauthenticate:webauthn": "Use a passkey",
}


class PeopleAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "That email and password do not belong together. Check both, or reset the password.",
        "enter_current_password": "That is not your current password.",
        "incorrect_password": "That is not your password.",
        "single_sign_on": "Your organization signs in with its own provider. Use single sign-on.",
        "too_many_login_attempts": "Too many wrong passwords. Wait five minutes, or reset the password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: people come by an owner's invitation or the operator's link."""
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Somebody who has only just signed in is not asked again."""
        return not confirming.is_fresh(self.request)

    def set_password(self, user: User, password: str) -> None:
        """Changed, reset by mail or chosen for the first time: it goes on record. Behind a reset link nobody is signed in."""
        set_password(user=user, password=password, by=Actor(label=str(user), user=user, address=address_of(self.request)))

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Before the password is looked at, so that nobody learns whether it is right."""
        super().pre_authenticate(request, **credentials)
        if single_sign_on.is_demanded(str(credentials.get("email", ""))):
            make_password(credentials.get("password"))  # as long as it takes to look at one of staff
            raise self.validation_error("single_sign_on")

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Staff with an address in such a domain are told the same, so that nobody learns who they are."""
        if single_sign_on.is_enforced(str(credentials.get("email", ""))):
            raise self.validation_error("single_sign_on")

    def get_reauthentication_methods(self, user: User | AnonymousUser) -> list[dict[str, Any]]:
        """A password confirms nobody whom it does not let in."""
        methods = super().get_reauthentication_methods(user)
        demanded = user.is_authenticated and single_sign_on.is_demanded(user.email)
        offered = [method for method in methods if not (demanded and method["id"] == "reauthenticate")]
        return [method | {"description": WAYS[method["id"]]} for method in offered]

    def pre_login(
        self, request: HttpRequest, user: User, *, signal_kwargs: dict[str, Any] | None, **hooks: Any
    ) -> HttpResponse | None:
        """Passkeys open no other door to those who are to use single sign-on."""
        if "single_sign_on" not in (signal_kwargs or {}) and single_sign_on.is_demanded(user.email):
            return redirect("sso")
        return super().pre_login(request, user, signal_kwargs=signal_kwargs, **hooks)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("mfa_index")

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """To the address a person signs in with; allauth's own table of addresses stays empty.

        Once the act is done, and not before. A mail that cannot be sent undoes nothing.
        """
        send = partial(super().send_notification_mail, template_prefix, user, context, email or user.email)
        transaction.on_commit(send, robust=True)


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "That code is wrong or too old. Wait for the next one and enter that.",
        "unreadable": "Your second factor cannot be read. Use a passkey, or ask whoever runs this Keyhold.",
    }

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        count = Authenticator.objects.filter(user=user, type=type).count()
        return f"Passkey {count + 1}" if count else "Passkey"
