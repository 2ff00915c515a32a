"""Fixtures of tests that need a running gateway. They name this module in `pytest_plugins`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orgs.models import Organization
from tests.fake import FakeProvider
from tests.gateway_server import RunningGateway, StartGateway
from tests.odd_provider import Odd


@pytest.fixture
def start_gateway(acme: Organization, fake_provider: FakeProvider, tmp_path: Path) -> Iterator[StartGateway]:
    """Starts a gateway for Acme with options such as first_byte_seconds."""
    running: list[RunningGateway] = []

    def start(**options: Any) -> RunningGateway:
        running.append(RunningGateway(acme, fake_provider, tmp_path / f"journal-{len(running)}", options).start())
        return running[-1]

    yield start
    for gateway in running:
        gateway.stop()


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway()


@pytest.fixture
def odd() -> Iterator[Odd]:
    with Odd() as server:
        yield server
        server.stopped.set()
        server.shutdown()
