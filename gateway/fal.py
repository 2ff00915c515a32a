"""What fal's answers cost: the units that an answer tells, times the price that fal's own list has for the endpoint."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote
from uuid import UUID

import msgspec
from django.views.decorators.debug import sensitive_variables
from msgspec import Raw

from gateway.operations.native import NativeRequest
from gateway.wires.values import MOST
from keys.egress import Egress, EgressError
from keys.providers import PROVIDERS, Credential
from keys.providers.requests import outbound

UNITS = "x-fal-billable-units"
RESULT = re.compile(r"/requests/(?P<job>[^/]+)(?:/response)?$")
PATIENCE_SECONDS = 2.0
KEPT_SECONDS = 3600.0
PRICE_BYTES = 64 * 1024
JOB_LENGTH = 100
MOST_KEPT = 10_000

type Place = tuple[UUID, str]
"""A provider key, and a job or an endpoint of its account."""


class Price(msgspec.Struct):
    endpoint_id: str
    unit_price: float
    currency: str


class PriceList(msgspec.Struct):
    prices: list[Price]


class Costs:
    """Knows which endpoint a job went to, and what its unit costs. Both are of this process, and of one key's account."""

    def __init__(self, egress: Egress, overrides: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._egress = egress
        self._overrides = overrides
        self._clock = clock
        self._endpoints: dict[Place, str] = {}
        self._prices: dict[Place, tuple[float, asyncio.Task[float | None]]] = {}

    def watch(self, key_id: UUID, request: NativeRequest) -> Callable[[Mapping[str, Raw]], None] | None:
        """Who shall see the members of this request's answer: that to a submit names the job."""
        submits = request.method == "POST" and request.target.service == "queue"
        return partial(self._submitted, key_id, request.model) if submits else None

    async def of(self, key_id: UUID, credential: Credential, request: NativeRequest, headers: Mapping[str, str]) -> int | None:
        """Millionths of a dollar, or None where they cannot be known. A job's result costs once, however often it is read."""
        if UNITS not in headers:
            return None if request.makes else 0
        endpoint = self._endpoint(key_id, request)
        price = await self._price((key_id, endpoint), credential) if endpoint else None
        return None if price is None else cost(headers[UNITS], price)

    def _submitted(self, key_id: UUID, endpoint: str, members: Mapping[str, Raw]) -> None:
        job = msgspec.json.decode(members.get("request_id", b"null"))
        if isinstance(job, str) and len(job) <= JOB_LENGTH:
            keep(self._endpoints, (key_id, job), endpoint)

    def _endpoint(self, key_id: UUID, request: NativeRequest) -> str:
        """Nothing for what is no result. The address of a job's result has only the beginning of the endpoint's name."""
        asked = request.method, request.target.service
        if asked == ("POST", ""):
            return request.model
        found = RESULT.search(request.target.plain) if asked == ("GET", "queue") else None
        return self._endpoints.pop((key_id, found["job"]), "") if found else ""

    async def _price(self, place: Place, credential: Credential) -> float | None:
        """One fetch serves all who ask meanwhile. That nothing was found is kept as well: nobody waits for it again."""
        now = self._clock()
        until, fetching = self._prices.get(place, (now, None))
        if fetching is None or until <= now:
            fetching = asyncio.create_task(self._fetch(place[1], credential))
            keep(self._prices, place, (now + KEPT_SECONDS, fetching))
        return await asyncio.shield(fetching)

    @sensitive_variables()
    async def _fetch(self, endpoint: str, credential: Credential) -> float | None:
        path = f"models/pricing?endpoint_id={quote(endpoint)}"
        target = outbound(PROVIDERS["fal"], credential, path=path, overrides=self._overrides, method="GET", service="api")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await self._egress.send(target)
                body = await answer.read(PRICE_BYTES)
        except (EgressError, TimeoutError):
            return None
        return price_in(body, endpoint) if answer.status == 200 else None


def keep[K, V](table: dict[K, V], name: K, value: V) -> None:
    """As the newest; the oldest makes room."""
    table.pop(name, None)
    table[name] = value
    if len(table) > MOST_KEPT:
        del table[next(iter(table))]


def price_in(body: bytes, endpoint: str) -> float | None:
    """Dollars a unit."""
    try:
        told = msgspec.json.decode(body, type=PriceList)
    except (msgspec.DecodeError, RecursionError):
        return None
    return next((row.unit_price for row in told.prices if (row.endpoint_id, row.currency) == (endpoint, "USD")), None)


def cost(units: str, price: float) -> int | None:
    """Millionths of a dollar; None where that makes no sense."""
    try:
        found = float(units) * price * 1_000_000
    except ValueError:
        return None
    return round(found) if 0 <= found < MOST else None
