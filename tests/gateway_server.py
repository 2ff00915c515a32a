"""A gateway on loopback in a thread of its own, with real parts. The test's thread alone talks to the database."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from gateway.app import Gateway
from gateway.directory import Directory
from keys import actions, data_keys
from keys.addresses import AllowList
from keys.egress import Egress
from keys.models import ClientKey, ProviderKey, RoutingPreference
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.actions import Actor
from orgs.models import Organization
from tests.fake import FakeProvider
from usage import journal
from usage.journal import Finished, Journal

BY = Actor.command("test")


class RunningGateway:
    """One organization's keys and the gateway that serves them. `url` ends before /v1."""

    def __init__(self, organization: Organization, fake: FakeProvider, folder: Path, options: dict[str, Any]) -> None:
        self.organization = organization
        self.fake = fake
        self.folder = folder
        self.directory = Directory()
        self.journal = Journal(folder)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._allow = options.pop("allow", ["127.0.0.1"])
        self._options = {
            "overrides": fake.overrides(),
            "first_byte_seconds": 30.0,
            "most_body_bytes": 1_000_000,
            "public_url": self.url,
            **options,
        }
        self._number = ClientKey.objects.filter(organization=organization).count() or ""  # of the program that calls
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="gateway-server", daemon=True)

    def start(self) -> "RunningGateway":
        name = f"Tests{self._number}"
        self.client_key, self.secret = actions.issue_client_key(organization=self.organization, name=name, by=BY)
        self.directory.refresh()
        self._thread.start()
        self._ready.wait()
        return self

    def drain(self) -> None:
        """Take no more requests; returns once all that ran have ended."""
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()

    def stop(self) -> None:
        self.drain()
        self.journal.stop()

    async def _serve(self) -> None:
        async with Egress(AllowList.parse(self._allow)) as egress:
            gateway = Gateway.of(
                directory=self.directory,
                egress=egress,
                journal=self.journal,
                journal_folder=self.folder,
                **self._options,
            )
            config = uvicorn.Config(
                gateway, lifespan="off", log_level="warning", proxy_headers=False, timeout_graceful_shutdown=5
            )
            self.admission, self.budget = gateway.proxy.admission, gateway.proxy.ledger.budget
            self._server = uvicorn.Server(config)
            self._ready.set()
            await self._server.serve(sockets=[self._socket])

    def add(
        self, provider: str, behavior: str = "valid", *, name: str = "", models: tuple[str, ...] = (), tested: bool = True
    ) -> ProviderKey:
        """A provider key, last in the order, to which `behavior` happens."""
        credential = Credential({"api_key": self.fake.key(provider, behavior)}, {}, "sk-…0001")
        return self.keep(provider, credential, name or behavior, models, tested=tested)

    def keep(
        self, provider: str, credential: Credential, name: str, models: tuple[str, ...] = (), *, tested: bool = True
    ) -> ProviderKey:
        """Any credential, with the models that its test found."""
        test = TestResult(Verdict.VALID, "", 200, models=models) if tested else None
        key = actions.add_key(
            organization=self.organization, provider=provider, name=name, credential=credential, test=test, by=BY
        )
        self.directory.refresh()
        return key

    def prefer(self, **preferences: Any) -> None:
        """What the organization wishes of routing."""
        RoutingPreference.objects.update_or_create(organization=self.organization, defaults={"preferences": preferences})
        self._bump()

    def reseal(self, key: ProviderKey, behavior: str) -> None:
        """From now on `behavior` happens to this key: as if something had changed at the provider."""
        credential = Credential({"api_key": self.fake.key(key.provider, behavior)}, {}, key.hint)
        sealed = data_keys.seal_credential(key, credential, data_keys.of(self.organization))
        ProviderKey.objects.filter(pk=key.pk).update(sealed=sealed)
        self._bump()

    def passes_test(self, key: ProviderKey) -> None:
        key.refresh_from_db()
        actions.record_test(key=key, result=TestResult(Verdict.VALID, "", 200), by=BY)
        self.directory.refresh()

    def _bump(self) -> None:
        Organization.objects.filter(pk=self.organization.pk).bump_routing()
        self.directory.refresh()

    def attempts(self) -> list[Finished]:
        """What the journal says, in the order in which attempts ended."""
        return [attempt for path in journal.segments(self.folder) for attempt in journal.read(path, 0, 10_000_000)[0]]

    def outcomes(self) -> list[tuple[str, str, int | None]]:
        return [(ended.closed.outcome, ended.closed.error_class, ended.closed.status) for ended in self.attempts()]


type StartGateway = Callable[..., RunningGateway]
