"""While Valkey is away, people sign in and leaked keys are reported, and each process keeps the pace by itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.cache import cache
from django.test import Client

from byok_site.cache import Absence, SharedCache
from keys.pace import REPORTS_A_MINUTE
from orgs.models import User
from tests.serving import ROOT, free_port
from tests.test_counters import Valkey, valkey  # noqa: F401

pytestmark = pytest.mark.django_db

BACKEND = "byok_site.cache.SharedCache"


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    cache.clear()
    Absence.until = 0.0
    yield
    Absence.until = 0.0


@pytest.fixture
def shared(settings: Any, valkey: Valkey) -> redis.Redis:  # noqa: F811
    """As settings.py has it with a REDIS_URL."""
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": valkey.url, "OPTIONS": {"serializer": json}, "VERSION": 2}}
    return redis.Redis(unix_socket_path=str(valkey.socket))


@pytest.fixture
def away(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": BACKEND, "LOCATION": f"redis://127.0.0.1:{free_port()}"}}
    SharedCache("redis://127.0.0.1:9", {})._own.clear()


def test_people_sign_in_without_valkey(away: None, alice: User, password: str) -> None:
    assert Client().post("/signin/", {"login": alice.email, "password": password}).status_code == 302
    assert Client().post("/signin/", {"login": alice.email, "password": "wrong"}).status_code == 200


def test_whatever_lies_in_valkey_is_json(shared: redis.Redis, alice: User, password: str) -> None:
    for said in ("wrong", password):
        Client().post("/signin/", {"login": alice.email, "password": said})
    Client().post("/report/", {"key": "nonsense"})
    Client().post("/reset/", {"email": alice.email})
    kept = [shared.get(name) for name in shared.scan_iter()]
    assert len(kept) > 3
    assert all(json.loads(value) is not None for value in kept)


def test_settings_pickle_nothing_into_valkey() -> None:
    source = (
        "from byok_site import settings; print(*(cache['OPTIONS']['serializer'].__name__ for cache in settings.CACHES.values()))"
    )
    environment = {**os.environ, "REDIS_URL": "redis://localhost:1", "DJANGO_SETTINGS_MODULE": "byok_site.settings"}
    said = subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["json", "json"]


def test_reports_are_taken_and_paced_without_valkey(away: None) -> None:
    statuses = [Client().post("/report/", {"key": "nonsense"}).status_code for _ in range(REPORTS_A_MINUTE + 1)]
    assert statuses == [200] * REPORTS_A_MINUTE + [429]


def test_what_valkey_counts_goes_on_when_it_is_back(valkey: Valkey) -> None:  # noqa: F811
    shared = SharedCache(valkey.url, {"OPTIONS": {"socket_timeout": 1}})
    shared.add("reports", 0)
    assert shared.incr("reports") == 1
    valkey.kill()
    assert shared.incr("reports") == 1
    assert Absence.until
    valkey.start()
    Absence.until = 0.0
    shared.set("reports", 1)
    assert shared.incr("reports") == 2
    shared.delete("reports")
    assert shared.get("reports") is None
