"""A credential is replaced and comes back while requests run. No request fails, and soon none uses the one before."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from keys.actions import replace_credential, restore_credential
from keys.models import ProviderKey
from keys.providers import Credential
from keys.testing import TestResult, Verdict
from orgs.models import AuditEvent
from tests.fake import FakeProvider
from tests.gateway_calls import GREETING, STREAMED, call
from tests.gateway_server import BY, RunningGateway

pytest_plugins = ["tests.gateway_fixtures"]
PASSED = TestResult(Verdict.VALID, "", 200, models=("gpt-4o",))
CLIENTS = 4
ENOUGH = 5  # requests of each client between two steps


@dataclass
class Load:
    """Clients that ask one request after the other, every second one streamed."""

    gateway: RunningGateway
    statuses: list[int] = field(default_factory=list)
    complete: list[bool] = field(default_factory=list)
    done: threading.Condition = field(default_factory=threading.Condition)
    stopping: bool = False

    def run(self) -> None:
        while not self.stopping:
            for body in (GREETING, STREAMED):
                reply = call(self.gateway, body)
                with self.done:
                    self.statuses.append(reply.status)
                    self.complete.append(body is GREETING or b"[DONE]" in reply.body)
                    self.done.notify_all()

    def more(self) -> None:
        """Blocks until enough more have been answered: those that began before this step and some that began after it."""
        with self.done:
            enough = len(self.statuses) + CLIENTS * ENOUGH
            assert self.done.wait_for(lambda: len(self.statuses) >= enough, 30)


@contextmanager
def load(gateway: RunningGateway) -> Iterator[Load]:
    load = Load(gateway)
    clients = [threading.Thread(target=load.run, daemon=True) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.stopping = True
        for client in clients:
            client.join()


def test_no_request_fails_while_a_credential_is_replaced_and_restored(
    gateway: RunningGateway, fake_provider: FakeProvider
) -> None:
    key = gateway.add("openai", models=("gpt-4o",))
    first, second = (fake_provider.key("openai", number=number) for number in (1, 2))
    used = []
    with load(gateway) as running:
        for step in ("begin", "replace", "restore"):
            retired = act(step, key, Credential({"api_key": second}, {}, "sk-…0002"))
            gateway.directory.refresh()
            running.more()
            fake_provider.requests.clear()
            running.more()
            used.append({request.headers["authorization"].removeprefix("Bearer ") for request in list(fake_provider.requests)})
    assert used == [{first}, {second}, {first}]
    assert set(running.statuses) == {200}
    assert all(running.complete)
    assert {outcome for outcome, *_ in gateway.outcomes()} == {"ok"}
    assert retired is not None
    told = AuditEvent.objects.filter(target_id=str(key.pk)).order_by("pk").values_list("tag", flat=True)
    assert list(told) == ["provider_key:add", "provider_key:replace", "provider_key:restore"]


def act(step: str, key: ProviderKey, new: Credential) -> object:
    match step:
        case "replace":
            return replace_credential(key=key, credential=new, test=PASSED, by=BY)
        case "restore":
            return restore_credential(retired=key.retired.get(), test=PASSED, by=BY)
    return None
