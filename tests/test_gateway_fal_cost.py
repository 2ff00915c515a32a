"""What fal's answers cost: units of the answer, at the price of fal's own list."""

import asyncio
import json
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from gateway import fal
from gateway.fal import Costs, cost, keep, price_in
from gateway.operations.native import NativeRequest, read_provider, read_request, read_target
from keys.addresses import AllowList
from keys.egress import Egress
from tests.fake import FakeProvider
from tests.gateway_calls import Reply, call, get
from tests.gateway_server import RunningGateway

pytest_plugins = ["tests.gateway_fixtures"]

FLUX = "fal-ai/flux/dev"
KLING = "fal-ai/kling-video/v2/master/text-to-video"
LAKE = {"prompt": "A lake"}
PRICES = "/fal-api/v1/models/pricing"


def run(gateway: RunningGateway, endpoint: str, service: str = "fal") -> Reply:
    reply = call(gateway, LAKE, f"/native/{service}/{endpoint}", headers={"content-type": "application/json"})
    assert reply.status == 200, reply.body
    return reply


def submit(gateway: RunningGateway, endpoint: str) -> str:
    """Where the result will be."""
    path: str = json.loads(run(gateway, endpoint, "fal:queue").body)["response_url"].removeprefix(gateway.url)
    for _ in range(3):
        get(gateway, f"{path}/status")
    return path


def costs(gateway: RunningGateway) -> list[int | None]:
    return [ended.closed.reported_cost_microusd for ended in gateway.attempts()]


def asked(fake: FakeProvider) -> list[str]:
    """For the prices of which endpoints."""
    return [request.query["endpoint_id"] for request in fake.requests if request.path == PRICES]


def test_a_run_costs_its_units_at_the_price_of_its_endpoint(gateway: RunningGateway) -> None:
    gateway.add("fal")
    assert json.loads(run(gateway, FLUX).body)["seed"] == 42
    assert costs(gateway) == [25_000]
    assert gateway.outcomes() == [("ok", "", 200)]


def test_the_price_is_asked_with_the_key_that_answered(gateway: RunningGateway) -> None:
    gateway.add("fal", "refused")
    gateway.add("fal")
    run(gateway, FLUX)
    assert gateway.fake.requests[-1].path == PRICES
    assert gateway.fake.requests[-1].behavior == "valid"
    assert not gateway.fake.violations


def test_of_a_job_only_the_result_costs_and_only_once(gateway: RunningGateway) -> None:
    gateway.add("fal")
    path = submit(gateway, KLING)
    assert asked(gateway.fake) == []
    assert [get(gateway, path).status for _ in range(2)] == [200, 200]
    assert costs(gateway) == [None, 0, 0, 0, 25_000, None]
    assert asked(gateway.fake) == [KLING]


def test_the_price_is_fetched_once(gateway: RunningGateway) -> None:
    gateway.add("fal")
    run(gateway, FLUX)
    run(gateway, FLUX)
    get(gateway, submit(gateway, FLUX))
    assert asked(gateway.fake) == [FLUX]
    assert [found for found in costs(gateway) if found] == [25_000] * 3


@pytest.mark.parametrize("endpoint", ["acme/refused", "acme/stalls", "acme/in-euros"])
def test_without_a_price_in_dollars_the_answer_arrives_all_the_same(
    gateway: RunningGateway, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal, "PATIENCE_SECONDS", 0.1)
    gateway.add("fal")
    for _ in range(2):
        assert json.loads(run(gateway, endpoint).body)["seed"] == 42
    assert costs(gateway) == [None, None]
    assert gateway.outcomes() == [("ok", "", 200)] * 2
    assert asked(gateway.fake) == [endpoint]


def test_of_a_job_that_another_process_submitted_the_cost_is_unknown(gateway: RunningGateway) -> None:
    gateway.add("fal")
    headers = {"authorization": f"Key {gateway.fake.key('fal')}", "content-type": "application/json"}
    elsewhere = Request(f"{gateway.fake.overrides()['fal:queue']}/{FLUX}", json.dumps(LAKE).encode(), headers)
    with urlopen(elsewhere, timeout=10) as answer:
        path = f"/native/fal:queue/fal-ai/flux/requests/{json.load(answer)['request_id']}"
    for _ in range(3):
        get(gateway, f"{path}/status")
    assert json.loads(get(gateway, path).body)["seed"] == 42
    assert costs(gateway) == [0, 0, 0, None]
    assert asked(gateway.fake) == []


def request_to(path: str, method: str = "POST") -> NativeRequest:
    raw = f"/native/{path}".encode()
    return read_request(method, read_target(read_provider(raw.decode()), raw, b""), b"{}")


def test_after_an_hour_the_price_is_asked_again(fake_provider: FakeProvider) -> None:
    now, key_id, credential = [0.0], uuid4(), fake_provider.credential("fal")

    async def ask() -> list[int | None]:
        async with Egress(AllowList.parse(["127.0.0.1"])) as egress:
            prices = Costs(egress, fake_provider.overrides(), lambda: now[0])
            found = []
            for now[0] in (0.0, 3599.0, 3600.0):
                found.append(await prices.of(key_id, credential, request_to(f"fal/{FLUX}"), {fal.UNITS: "2"}))
            return found

    assert asyncio.run(ask()) == [50_000] * 3
    assert asked(fake_provider) == [FLUX, FLUX]


@pytest.mark.parametrize(
    ("units", "found"),
    [
        ("1", 25_000),
        ("0.5", 12_500),
        ("0", 0),
        ("", None),
        ("1, 1", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e99", None),
    ],
)
def test_of_units_that_make_no_sense_the_cost_is_unknown(units: str, found: int | None) -> None:
    assert cost(units, 0.025) == found


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"prices": []}', b'{"prices": [{"endpoint_id": "a/b"}]}', b"[" * 100_000])
def test_a_list_without_the_price_is_no_error(body: bytes) -> None:
    assert price_in(body, "a/b") is None


def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal, "MOST_KEPT", 2)
    table: dict[str, int] = {}
    for name in ("a", "b", "a", "c"):
        keep(table, name, 1)
    assert list(table) == ["a", "c"]
