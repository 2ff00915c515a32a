"""Where people are signed in. allauth keeps the list; what ends a session is the version that its hash holds."""

from allauth.account.internal.flows.login import record_authentication
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import login, update_session_auth_hash
from django.db.models import F
from django.http import HttpRequest

from orgs.models import User


def sign_in(request: HttpRequest, user: User) -> None:
    """Whoever has just chosen a password, behind a link that shows who they are."""
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    record_authentication(request, user, method="password")
    UserSession.objects.create_from_request(request)


def end_all(user: User) -> None:
    """Within the next request of each. Call it inside the transaction of the act that is the reason."""
    User.objects.filter(pk=user.pk).update(session_version=F("session_version") + 1)
    user.refresh_from_db(fields=["session_version"])
    UserSession.objects.filter(user=user).delete()


def end_others(request: HttpRequest, user: User) -> None:
    end_all(user)
    keep(request, user)


def keep(request: HttpRequest, user: User) -> None:
    """The session of this request goes on where all were ended."""
    update_session_auth_hash(request, user)
    UserSession.objects.create_from_request(request)
