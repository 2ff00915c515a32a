"""The cast of every test: Alice owns Acme, Bob is a member of it, Charlie owns Globex, Sam is support."""

import ipaddress
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client

from orgs.models import MEMBER, OWNER, Membership, Organization, User

pytest_plugins = ["tests.fake.fixtures"] if find_spec("tests.fake") else []


def refuse_the_outside(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: sockets reach loopback only, and names other than localhost do not resolve."""
    if event == "socket.connect" and args[0].family in (socket.AF_INET, socket.AF_INET6):
        if not ipaddress.ip_address(args[1][0]).is_loopback:
            raise RuntimeError(f"A test tried to reach {args[1][0]}.")
    elif event == "socket.getaddrinfo" and not is_local(args[0]):
        raise socket.gaierror(socket.EAI_NONAME, "Tests resolve no outside names")


def is_local(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost") or name == socket.gethostname():
        return True
    try:
        return bool(ipaddress.ip_address(str(name).partition("%")[0]))
    except ValueError:
        return False


sys.addaudithook(refuse_the_outside)


@pytest.fixture
def password() -> str:
    return "correct horse battery staple"


@pytest.fixture
def make_user(db: None, password: str) -> Callable[..., User]:
    def make(name: str, **fields: Any) -> User:
        return User.objects.create_user(f"{name.lower()}@example.com", password, name=name, **fields)

    return make


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    return make_user("Alice")


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    return make_user("Bob")


@pytest.fixture
def charlie(make_user: Callable[..., User]) -> User:
    return make_user("Charlie")


@pytest.fixture
def sam(make_user: Callable[..., User]) -> User:
    return make_user("Sam", is_staff=True)


def join(organization: Organization, user: User, role: str) -> None:
    group, _ = Group.objects.get_or_create(name=role)
    Membership.objects.create(organization=organization, user=user, role=group)


@pytest.fixture
def acme(alice: User, bob: User) -> Organization:
    organization = Organization.objects.create(name="Acme", slug="acme")
    join(organization, alice, OWNER)
    join(organization, bob, MEMBER)
    return organization


@pytest.fixture
def globex(charlie: User) -> Organization:
    organization = Organization.objects.create(name="Globex", slug="globex")
    join(organization, charlie, OWNER)
    return organization


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A test client in which that person is signed in."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return sign_in


@pytest.fixture
def postgres_only() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
