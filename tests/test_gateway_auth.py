"""Who may call: every spelling of the header ends in one check."""

from unittest import mock

import pytest

from gateway import auth
from gateway.auth import authenticate
from gateway.directory import Directory
from gateway.errors import Refusal
from gateway.snapshot import Snapshot
from keys import actions, client_keys
from orgs.actions import Actor
from orgs.models import Organization

SPELLINGS = [
    (b"authorization", "Bearer {}"),
    (b"authorization", "bearer  {} "),
    (b"authorization", "{}"),
    (b"x-api-key", "{}"),
    (b"api-key", "{}"),
    (b"x-goog-api-key", "{}"),
]


@pytest.fixture
def text(acme: Organization) -> str:
    return actions.issue_client_key(organization=acme, name="Tests", by=Actor.command("test"))[1]


@pytest.fixture
def snapshot(text: str) -> Snapshot:
    directory = Directory()
    directory.refresh()
    assert directory.snapshot is not None
    return directory.snapshot


def refused(snapshot: Snapshot, *headers: tuple[bytes, str]) -> str:
    with pytest.raises(Refusal) as caught:
        authenticate(snapshot, [(name, value.encode("latin-1")) for name, value in headers])
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    return caught.value.message


def another(text: str) -> str:
    """Whole, with the public id of this key and a secret of its own."""
    body = f"{text[:23]}{client_keys.random_text(32)}"
    return body + client_keys.checksum(body)


@pytest.mark.parametrize(("name", "value"), SPELLINGS)
def test_every_spelling_of_the_header_is_accepted(
    snapshot: Snapshot, text: str, acme: Organization, name: bytes, value: str
) -> None:
    caller = authenticate(snapshot, [(b"accept", b"*/*"), (name, value.format(text).encode())])
    assert caller.tenant.id == str(acme.pk)


@pytest.mark.parametrize(("name", "value"), SPELLINGS)
def test_every_spelling_is_checked_alike(snapshot: Snapshot, text: str, name: bytes, value: str) -> None:
    assert refused(snapshot, (name, value.format(another(text)))) == auth.UNKNOWN
    assert refused(snapshot, (name, value.format(client_keys.generate().text))) == auth.UNKNOWN
    assert refused(snapshot, (name, value.format(text[:-1] + "~"))) == auth.MALFORMED


def test_the_same_key_may_come_twice_but_not_two_keys(snapshot: Snapshot, text: str) -> None:
    authenticate(snapshot, [(b"x-api-key", text.encode()), (b"authorization", f"Bearer {text}".encode())])
    for other in (another(text), client_keys.generate().text, "anything"):
        assert refused(snapshot, (b"x-api-key", text), (b"authorization", f"Bearer {other}")) == auth.SEVERAL
        assert refused(snapshot, (b"authorization", f"Bearer {text}"), (b"authorization", f"Bearer {other}")) == auth.SEVERAL


@pytest.mark.parametrize("headers", [[], [(b"authorization", "")], [(b"authorization", "Bearer ")], [(b"x_api_key", "{}")]])
def test_no_key_is_told_apart_from_a_wrong_one(snapshot: Snapshot, text: str, headers: list[tuple[bytes, str]]) -> None:
    assert refused(snapshot, *[(name, value.format(text)) for name, value in headers]) == auth.MISSING


@pytest.mark.parametrize(
    "value", ["Basic dXNlcjpwYXNz", "Bearer ' OR 1=1 --", "Bearer \xff\xfe", "Bearer " + "x" * 5000, "byok_live_"]
)
def test_odd_headers_are_refused_as_malformed(snapshot: Snapshot, value: str) -> None:
    assert refused(snapshot, (b"authorization", value)) == auth.MALFORMED


def test_an_unknown_id_costs_the_same_work_as_a_wrong_secret(snapshot: Snapshot, text: str) -> None:
    for wrong in (another(text), client_keys.generate().text):
        with mock.patch.object(client_keys, "digest", wraps=client_keys.digest) as digests:
            refused(snapshot, (b"x-api-key", wrong))
        assert digests.call_count == 1
