"""The cast of every test: Alice owns Acme, Bob is a member of it, Charlie owns Globex, Sam is support."""

import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from allauth.account.internal.flows.login import record_authentication
from django.contrib.auth.models import Group
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from hypothesis import settings

from orgs.actions import Actor, create_organization
from orgs.models import MEMBER, Membership, Organization, User
from tests.serving import Server, stop
from tests.tampering import let_tests_truncate

pytest_plugins = ["tests.fake.fixtures"]

# A busy machine is no failure. In continuous integration the same examples are tried every time, elsewhere new ones
settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("untimed")


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration a test that is skipped has failed, but on SQLite, which cannot do everything."""
    report = yield
    if report.skipped and os.environ.get("CI") and connection.vendor == "postgresql" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """SQLite is another database and no other Python: what asks no database, or is large, is tested on PostgreSQL alone."""
    if os.environ.get("KEYHOLD_TEST_DATABASE") != "sqlite":
        return
    left_out = [item for item in items if item.get_closest_marker("large") or not asks_database(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def asks_database(item: pytest.Item) -> bool:
    fixtures = {*getattr(item, "fixturenames", ())}
    return item.get_closest_marker("django_db") is not None or bool({"db", "transactional_db"} & fixtures)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        let_tests_truncate()


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


@pytest.fixture
def acme(alice: User, bob: User) -> Organization:
    organization = create_organization(name="Acme", owner=alice, by=Actor.command("tests"))
    Membership.objects.create(organization=organization, user=bob, role=Group.objects.get(name=MEMBER))
    return organization


@pytest.fixture
def globex(charlie: User) -> Organization:
    return create_organization(name="Globex", owner=charlie, by=Actor.command("tests"))


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A test client in which that person has just signed in."""

    def sign_in(user: User) -> Client:
        client, request = Client(), HttpRequest()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        request.session = client.session
        record_authentication(request, user, method="password")
        request.session.save()
        return client

    return sign_in


@pytest.fixture
def postgres_only() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a first start leaves: a server that begins with a copy starts five times as fast."""
    folder = tmp_path_factory.mktemp("first_start") / "data"
    stop(Server.start(folder, {}).process)
    return folder
