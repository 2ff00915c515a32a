"""What somebody of the staff needs before the console opens."""

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group

from orgs.models import User


def give_second_factor(user: User) -> None:
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})


def join_support(user: User) -> None:
    give_second_factor(user)
    user.groups.add(Group.objects.get(name="Support"))
