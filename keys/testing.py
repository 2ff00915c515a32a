"""Does a credential work? One cheap call that spends nothing, and a plain sentence about what came of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.conf import settings

from keys.addresses import AllowList
from keys.egress import Egress, EgressError, Patience
from keys.providers.base import Credential, Outbound, Provider, Shape, TestCall
from keys.providers.requests import outbound
from keys.providers.verdicts import listed_models, verdict

PATIENCE = Patience(connect=3.0, first_byte=10.0, idle=10.0, total=10.0)
LARGEST_ANSWER = 4 * 1024 * 1024


class Verdict(StrEnum):
    """From best to worst. Only INVALID speaks against the key; UNKNOWN is our trouble, the network's or the provider's."""

    VALID = "valid"
    LIMITED = "limited"
    UNKNOWN = "unknown"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class TestResult:
    """`reason` is for the owner and holds no secret. `status` is the provider's, None when it did not answer."""

    verdict: Verdict
    reason: str
    status: int | None = None
    latency_ms: int = 0
    models: tuple[str, ...] = ()
    __test__ = False


def test_credential(provider: Provider, credential: Credential) -> TestResult:
    """Blocks for ten seconds at most. Not to be called in a running event loop; `examine` is."""
    allow = AllowList.parse(settings.EGRESS_ALLOW)
    return asyncio.run(examine(provider, credential, allow=allow, overrides=settings.UPSTREAM_OVERRIDES))


test_credential.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of its own


async def examine(
    provider: Provider, credential: Credential, *, allow: AllowList, overrides: Mapping[str, str], patience: Patience = PATIENCE
) -> TestResult:
    """One call, or for Azure one for each resource and key among the deployments. The worst finding counts."""
    if provider.test is None:
        return TestResult(
            Verdict.UNKNOWN, f"Keyhold cannot test {provider.label} keys yet. You can save this one without testing."
        )
    started = asyncio.get_running_loop().time()
    async with Egress(allow) as egress:
        examination = Examination(provider, credential, overrides, egress, patience, started)
        results = await asyncio.gather(*(examination.ask(provider.test, *call) for call in examination.calls(provider.test)))
    worst = max(results, key=lambda result: list(Verdict).index(result.verdict))
    models = sorted({model for result in results for model in result.models})
    return replace(worst, latency_ms=round((asyncio.get_running_loop().time() - started) * 1000), models=tuple(models))


@dataclass(frozen=True, slots=True)
class Examination:
    """One test of one credential. `started` is the loop's time."""

    provider: Provider
    credential: Credential
    overrides: Mapping[str, str]
    egress: Egress
    patience: Patience
    started: float

    def calls(self, test: TestCall) -> list[tuple[Outbound, str]]:
        """The requests to send, with the deployment that each speaks for."""
        if self.provider.shape is not Shape.AZURE:
            return [(self.request(test.path, service=test.service), "")]
        calls: dict[tuple[str, str], tuple[Outbound, str]] = {}
        for number, entry in enumerate(self.credential.public["deployments"]):
            request = self.request(test.path, deployment=number)
            calls.setdefault((request.url, request.headers["api-key"]), (request, entry["model_slug"]))
        return list(calls.values())

    def request(self, path: str, *, service: str = "", deployment: int | None = None) -> Outbound:
        credential, overrides = self.credential, self.overrides
        return outbound(
            self.provider, credential, path=path, overrides=overrides, method="GET", service=service, deployment=deployment
        )

    async def ask(self, test: TestCall, request: Outbound, deployment: str) -> TestResult:
        """What one call shows. A bad finding names the deployment."""
        prefix = f"{deployment}: " if deployment else ""
        try:
            status, body = await self.exchange(request)
        except EgressError as error:
            await self.level(error)
            return TestResult(Verdict.UNKNOWN, prefix + self.silence(error))
        judged, reason = verdict(self.provider, status, body)
        if judged == Verdict.VALID:
            return TestResult(Verdict.VALID, reason, status, models=tuple(await self.models(test, body)))
        return TestResult(Verdict(judged), prefix + reason, status)

    async def exchange(self, request: Outbound) -> tuple[int, bytes]:
        """Status and body."""
        answer = await self.egress.send(request, patience=self.patience)
        return answer.status, await answer.read(LARGEST_ANSWER)

    async def models(self, test: TestCall, body: bytes) -> Sequence[str]:
        """The provider's own names for what this key may use; none when it does not say in time."""
        if test.lists_models:
            return listed_models(self.provider, body)
        if not test.models_path:
            return ()
        try:
            async with asyncio.timeout_at(self.started + self.patience.total):
                status, listing = await self.exchange(self.request(test.models_path))
        except (EgressError, TimeoutError):
            return ()
        return listed_models(self.provider, listing) if status == 200 else ()

    def silence(self, error: EgressError) -> str:
        """Refused by our rules, closed, filtered or not TLS: it reads the same, so that this is no port scanner."""
        if error.kind == "timeout":
            return f"{self.provider.label} did not answer in {self.patience.total:.0f} seconds."
        if self.provider.shape is Shape.AZURE:
            return "Azure could not be reached at this endpoint_url. Check its spelling."
        return f"{self.provider.label} could not be reached."

    async def level(self, error: EgressError) -> None:
        """An address that an owner chose also fails after the same time, whatever is behind it."""
        if self.provider.shape is Shape.AZURE and error.kind != "timeout":
            await asyncio.sleep(self.started + self.patience.connect - asyncio.get_running_loop().time())
