"""Does a credential work? One cheap call that spends nothing, and a plain sentence about what came of it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.conf import settings

from keys.addresses import AllowList
from keys.egress import Egress, EgressError, Patience
from keys.providers import azure
from keys.providers.base import Credential, Outbound, Provider, Shape, TestCall
from keys.providers.errors import ErrorClass, classify
from keys.providers.requests import outbound
from keys.providers.verdicts import listed_models, verdict
from keys.signing import Signer, SigningError

PATIENCE = Patience(connect=3.0, first_byte=10.0, idle=10.0, total=10.0)
LARGEST_ANSWER = 4 * 1024 * 1024
INVENTED = "ThisKeyWasNeverGivenToAnybodyItIsMadeUpToBeRefused"
NO_PROOF = "did not refuse an invented key, so its answer says nothing about this one."

log = logging.getLogger(__name__)

type Reply = tuple[int, Mapping[str, str], bytes]


class Verdict(StrEnum):
    """From best to worst. Only INVALID speaks against the key; UNKNOWN is our trouble, the network's or the provider's."""

    VALID = "valid"
    LIMITED = "limited"
    UNKNOWN = "unknown"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class TestResult:
    """`reason` is for the owner and holds no secret. `status` is the provider's, None when it did not answer.

    error_class: what LIMITED stands for, as in ErrorClass; a key that may only not make this test has `no_permission`.
    """

    verdict: Verdict
    reason: str
    status: int | None = None
    latency_ms: int = 0
    models: tuple[str, ...] = ()
    error_class: str = ""
    __test__ = False


def test_credential(provider: Provider, credential: Credential) -> TestResult:
    """Blocks for ten seconds at most. Not to be called in a running event loop; `examine` is."""
    allow = AllowList.parse(settings.EGRESS_ALLOW)
    return asyncio.run(examine(provider, credential, allow=allow, overrides=settings.UPSTREAM_OVERRIDES))


test_credential.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for one of its own


def examine_all(keys: Sequence[tuple[Provider, Credential]]) -> list[TestResult]:
    """As `test_credential`, of all of them at once. What goes wrong with one is told of it as UNKNOWN."""
    return asyncio.run(gather(keys, AllowList.parse(settings.EGRESS_ALLOW), settings.UPSTREAM_OVERRIDES))


async def gather(keys: Sequence[tuple[Provider, Credential]], allow: AllowList, overrides: Mapping[str, str]) -> list[TestResult]:
    examinations = (examine(provider, credential, allow=allow, overrides=overrides) for provider, credential in keys)
    found = await asyncio.gather(*examinations, return_exceptions=True)
    return [result_of(provider, result) for (provider, _), result in zip(keys, found, strict=True)]


def result_of(provider: Provider, found: TestResult | BaseException) -> TestResult:
    if isinstance(found, TestResult):
        return found
    log.error("A test of a key for %s ended with %s.", provider.label, type(found).__name__)
    return TestResult(Verdict.UNKNOWN, f"{provider.label} could not be asked.")


async def examine(
    provider: Provider, credential: Credential, *, allow: AllowList, overrides: Mapping[str, str], patience: Patience = PATIENCE
) -> TestResult:
    """One call, or for Azure one for each resource and key among the deployments. The worst finding counts."""
    started = asyncio.get_running_loop().time()
    async with Egress(allow) as egress:
        signer = Signer(egress, overrides)
        examination = Examination(provider, credential, overrides, egress, signer, patience, started)
        results = await asyncio.gather(*(examination.ask(provider.test, *entry) for entry in entries(provider, credential)))
    worst = max(results, key=lambda result: list(Verdict).index(result.verdict))
    models = sorted({model for result in results for model in result.models})
    return replace(worst, latency_ms=round((asyncio.get_running_loop().time() - started) * 1000), models=tuple(models))


def entries(provider: Provider, credential: Credential) -> Sequence[tuple[int | None, str]]:
    """What to ask for: number and slug of one Azure deployment for each surface and key; else the credential as a whole."""
    if provider.shape is not Shape.AZURE:
        return [(None, "")]
    firsts: dict[tuple[str, str], tuple[int, str]] = {}
    for number, entry in enumerate(credential.public["deployments"]):
        surface = azure.read(entry["endpoint_url"]).url("models")
        firsts.setdefault((surface, credential.secret["api_keys"][number]), (number, entry["model_slug"]))
    return list(firsts.values())


@dataclass(frozen=True, slots=True)
class Examination:
    """One test of one credential. `started` is the loop's time; everything ends when the patience that began there does."""

    provider: Provider
    credential: Credential
    overrides: Mapping[str, str]
    egress: Egress
    signer: Signer
    patience: Patience
    started: float

    async def ask(self, test: TestCall, deployment: int | None = None, slug: str = "") -> TestResult:
        """What one call shows. A bad finding names the deployment."""
        if test.first and "api_key" not in self.credential.secret:
            before = await self.ask(test.first)
            if before.verdict is not Verdict.VALID:
                return before
        prefix = f"{slug}: " if slug else ""
        try:
            status, headers, body = await self.call(test, deployment)
        except SigningError as error:
            return TestResult(Verdict.UNKNOWN, f"{self.provider.label} could not be asked. {error}")
        except EgressError as error:
            await self.level(error)
            return TestResult(Verdict.UNKNOWN, prefix + self.silence(error))
        judged, reason = verdict(self.provider, status, body, headers, test)
        if judged != Verdict.VALID:
            return TestResult(Verdict(judged), prefix + reason, status, error_class=self.limit(judged, status, headers, body))
        if test.control and not await self.refuses_strangers(test):
            return TestResult(Verdict.UNKNOWN, f"{self.provider.label} {NO_PROOF}", status)
        return TestResult(Verdict.VALID, reason, status, models=tuple(await self.models(test, body)))

    def limit(self, judged: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
        """Why an accepted key is of no use now. A good answer that speaks against the key tells of its account."""
        if judged != Verdict.LIMITED:
            return ""
        return ErrorClass.OUT_OF_MONEY if status < 400 else classify(self.provider, status, headers, body)

    async def call(self, test: TestCall, deployment: int | None = None) -> Reply:
        request = self.request(test.path, test.service, deployment, "POST" if test.form else "GET")
        if test.form:
            request = replace(request, headers={**request.headers, "content-type": "application/x-www-form-urlencoded"})
        return await self.exchange(request, test.form)

    def request(self, path: str, service: str, deployment: int | None = None, method: str = "GET") -> Outbound:
        credential, overrides = self.credential, self.overrides
        return outbound(
            self.provider, credential, path=path, overrides=overrides, method=method, service=service, deployment=deployment
        )

    async def exchange(self, request: Outbound, form: bytes = b"") -> Reply:
        """Status, headers and body. What Google says to a service account instead of a token counts as the answer."""
        try:
            async with asyncio.timeout_at(self.started + self.patience.total):
                signed = await self.signer.sign(request, self.provider, self.credential, form)
                answer = await self.egress.send(signed, form or None, self.patience)
                return answer.status, answer.headers, await answer.read(LARGEST_ANSWER)
        except TimeoutError:
            raise EgressError("timeout", "No answer came in time.") from None
        except SigningError as error:
            if error.status is None:
                raise
            return error.status, {}, error.body

    async def refuses_strangers(self, test: TestCall) -> bool:
        """Whether the same call with a key that nobody ever had is refused. If that cannot be told, it is not proven."""
        invented = (self.provider.prefixes or ("",))[0] + INVENTED
        stranger = replace(self, credential=Credential({"api_key": invented}, {}, ""))
        try:
            status, headers, body = await stranger.call(test)
        except EgressError:
            return False
        return status >= 400 and classify(self.provider, status, headers, body) is ErrorClass.REFUSED

    async def models(self, test: TestCall, body: bytes) -> Sequence[str]:
        """The provider's own names for what this key may use; none of those that it does not tell in time."""
        found = set(listed_models(self.provider, body) if test.lists_models else ())
        if test.models_path:
            found.update(await self.more_models(test))
        return sorted(found)

    async def more_models(self, test: TestCall) -> Sequence[str]:
        try:
            status, _, listing = await self.exchange(self.request(test.models_path, test.models_service))
        except (EgressError, SigningError):
            return ()
        return listed_models(self.provider, listing) if status == 200 else ()

    def silence(self, error: EgressError) -> str:
        """Refused by our rules, closed, filtered or not TLS: it reads the same, so that this is no port scanner."""
        if error.kind == "timeout":
            return f"{self.provider.label} did not answer in {self.patience.total:.0f} seconds."
        if self.provider.shape is Shape.AZURE:
            return "Azure could not be reached at this `endpoint_url`. Check its spelling."
        return f"{self.provider.label} could not be reached."

    async def level(self, error: EgressError) -> None:
        """An address that an owner chose also fails after the same time, whatever is behind it."""
        if self.provider.shape is Shape.AZURE and error.kind != "timeout":
            await asyncio.sleep(self.started + self.patience.connect - asyncio.get_running_loop().time())
