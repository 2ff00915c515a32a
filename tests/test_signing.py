"""Signed requests against a provider that recomputes the signature, and tokens from an endpoint that reads the grant."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys import credentials
from keys.addresses import AllowList
from keys.egress import Egress, EgressError
from keys.providers import PROVIDERS, Credential, Outbound
from keys.providers.requests import outbound
from keys.signing import Signer, SigningError
from tests.fake import FakeProvider, Received

BEDROCK, VERTEX = PROVIDERS["bedrock"], PROVIDERS["vertex"]
NOVA = "us.amazon.nova-pro-v1%3A0"
HELLO = json.dumps({"messages": [{"role": "user", "content": [{"text": "Grüezi"}]}]}).encode()
JSON = {"content-type": "application/json"}
GEMINI = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}).encode()
MODEL = "v1/projects/acme-project/locations/us-central1/publishers/google/models/gemini-2.5-pro"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with Egress(AllowList.parse([])) as running:
        yield running


@pytest.fixture
def clock(fake_provider: FakeProvider) -> Clock:
    """One for the signer and for Google."""
    moved = Clock()
    fake_provider.set_clock(moved)
    return moved


@pytest.fixture
def signer(egress: Egress, fake_provider: FakeProvider, clock: Clock) -> Signer:
    return Signer(egress, fake_provider.overrides(), clock)


def converse(fake: FakeProvider, model: str = NOVA, query: str = "") -> Outbound:
    return Outbound("POST", f"{fake.url}/bedrock/model/{model}/converse{query}", JSON, operator=True)


def generate(fake: FakeProvider) -> Outbound:
    return Outbound("POST", f"{fake.url}/vertex/{MODEL}:generateContent", JSON, operator=True)


async def status(egress: Egress, outbound: Outbound, body: bytes) -> tuple[int, str]:
    """And what AWS calls the error."""
    answer = await egress.send(outbound, body)
    await answer.read()
    return answer.status, answer.headers.get("x-amzn-errortype", "").partition(":")[0]


def grants(fake: FakeProvider) -> list[Received]:
    return [request for request in fake.requests if request.path == "/vertex-token/token"]


async def noticed(fake: FakeProvider, condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(fake.wait_for, condition)


# AWS


@pytest.mark.parametrize("kind", ["", "session"])
@pytest.mark.parametrize(
    "model", [NOVA, "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-pro-v1%3A0"]
)
async def test_a_signed_request_is_accepted(
    fake_provider: FakeProvider, egress: Egress, signer: Signer, kind: str, model: str
) -> None:
    signed = await signer.sign(converse(fake_provider, model), BEDROCK, fake_provider.credential("bedrock", kind=kind), HELLO)
    assert await status(egress, signed, HELLO) == (200, "")
    assert ("x-amz-security-token" in fake_provider.requests[0].headers) == (kind == "session")


async def test_an_address_with_a_query_is_signed_as_it_is(fake_provider: FakeProvider, egress: Egress, signer: Signer) -> None:
    url = f"{fake_provider.url}/bedrock-control/foundation-models?byProvider=Amazon%20Web&byOutputModality=TEXT"
    outbound = Outbound("GET", url, {}, operator=True)
    signed = await signer.sign(outbound, BEDROCK, fake_provider.credential("bedrock"), b"")
    assert await status(egress, signed, b"") == (200, "")


async def test_sts_is_signed_as_sts(fake_provider: FakeProvider, egress: Egress, signer: Signer) -> None:
    body, credential = b"Action=GetCallerIdentity&Version=2011-06-15", fake_provider.credential("bedrock")
    ask = outbound(BEDROCK, credential, path="", overrides=fake_provider.overrides(), service="sts")
    assert await status(egress, await signer.sign(ask, BEDROCK, credential, body), body) == (200, "")


@pytest.mark.parametrize(
    ("behavior", "kind", "error"),
    [
        ("refused", "", "UnrecognizedClientException"),
        ("incorrect", "", "InvalidSignatureException"),
        ("expired", "session", "ExpiredTokenException"),
        ("forbidden", "", "AccessDeniedException"),
    ],
)
async def test_aws_says_what_is_wrong_with_a_key(
    fake_provider: FakeProvider, egress: Egress, signer: Signer, behavior: str, kind: str, error: str
) -> None:
    credential = fake_provider.credential("bedrock", behavior, kind=kind)
    signed = await signer.sign(converse(fake_provider), BEDROCK, credential, HELLO)
    assert await status(egress, signed, HELLO) == (403, error)


async def test_a_wrong_secret_is_refused(fake_provider: FakeProvider, egress: Egress, signer: Signer) -> None:
    right = fake_provider.credential("bedrock")
    wrong = replace(right, secret={"secret_access_key": "0" * 40})
    signed = await signer.sign(converse(fake_provider), BEDROCK, wrong, HELLO)
    assert await status(egress, signed, HELLO) == (403, "InvalidSignatureException")


async def test_a_signature_is_for_these_bytes_and_this_address(
    fake_provider: FakeProvider, egress: Egress, signer: Signer
) -> None:
    signed = await signer.sign(converse(fake_provider), BEDROCK, fake_provider.credential("bedrock"), HELLO)
    elsewhere = replace(signed, url=signed.url.replace("nova-pro", "nova-micro"))
    assert await status(egress, signed, HELLO + b" ") == (403, "InvalidSignatureException")
    assert await status(egress, elsewhere, HELLO) == (403, "InvalidSignatureException")


async def test_the_identity_of_the_process_is_never_used(
    fake_provider: FakeProvider, egress: Egress, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, owners = fake_provider.credential("bedrock", number=7, kind="session"), fake_provider.credential("bedrock")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ours.public["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ours.secret["secret_access_key"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", ours.secret["session_token"])
    signed = await signer.sign(converse(fake_provider), BEDROCK, owners, HELLO)
    assert owners.public["access_key_id"] in signed.headers["authorization"]
    assert "x-amz-security-token" not in signed.headers
    assert await status(egress, signed, HELLO) == (200, "")
    with pytest.raises(SigningError):
        await signer.sign(converse(fake_provider), BEDROCK, Credential({}, {"region": "us-east-1"}, ""), HELLO)


async def test_a_bedrock_api_key_is_not_signed(fake_provider: FakeProvider, signer: Signer) -> None:
    outbound = converse(fake_provider)
    assert await signer.sign(outbound, BEDROCK, fake_provider.credential("bedrock", kind="api_key"), HELLO) is outbound


# Google


async def test_a_service_account_gets_a_token_that_works(fake_provider: FakeProvider, egress: Egress, signer: Signer) -> None:
    signed = await signer.sign(generate(fake_provider), VERTEX, fake_provider.credential("vertex"), GEMINI)
    assert signed.headers["authorization"].startswith("Bearer ya29.")
    assert signed.headers["content-type"] == "application/json"
    assert (await status(egress, signed, GEMINI))[0] == 200


async def test_twenty_who_ask_at_once_share_one_fetch(fake_provider: FakeProvider, signer: Signer) -> None:
    credential, outbound = fake_provider.credential("vertex", "slow"), generate(fake_provider)
    asking = [asyncio.create_task(signer.sign(outbound, VERTEX, credential, b"")) for _ in range(20)]
    assert await noticed(fake_provider, lambda: bool(grants(fake_provider)))
    fake_provider.go()
    signed = await asyncio.gather(*asking)
    assert len({outbound.headers["authorization"] for outbound in signed}) == 1
    assert len(grants(fake_provider)) == 1


async def test_one_who_leaves_does_not_stop_the_others(fake_provider: FakeProvider, signer: Signer) -> None:
    credential, outbound = fake_provider.credential("vertex", "slow"), generate(fake_provider)
    first, second = (asyncio.create_task(signer.sign(outbound, VERTEX, credential, b"")) for _ in range(2))
    assert await noticed(fake_provider, lambda: bool(grants(fake_provider)))
    first.cancel()
    fake_provider.go()
    assert (await second).headers["authorization"].startswith("Bearer ya29.")
    assert len(grants(fake_provider)) == 1


async def test_a_token_is_renewed_before_it_ends(
    fake_provider: FakeProvider, egress: Egress, signer: Signer, clock: Clock
) -> None:
    credential, outbound = fake_provider.credential("vertex"), generate(fake_provider)
    first = await signer.sign(outbound, VERTEX, credential, b"")
    clock.now += 3300
    assert (await signer.sign(outbound, VERTEX, credential, b"")).headers == first.headers
    clock.now += 100
    second = await signer.sign(outbound, VERTEX, credential, b"")
    assert second.headers != first.headers
    assert (await status(egress, second, GEMINI))[0] == 200
    clock.now += 300
    assert (await status(egress, first, GEMINI))[0] == 401


async def test_addresses_in_the_pasted_file_are_not_asked(fake_provider: FakeProvider, signer: Signer) -> None:
    hostile = json.loads(fake_provider.key("vertex")) | {"token_uri": f"{fake_provider.url}/elsewhere"}
    credential, _ = credentials.parse(VERTEX, {"json": json.dumps(hostile)}, allow=AllowList.parse([]))
    await signer.sign(generate(fake_provider), VERTEX, credential, b"")
    assert [request.path for request in fake_provider.requests] == ["/vertex-token/token"]


async def test_a_refused_grant_says_what_google_said(fake_provider: FakeProvider, signer: Signer) -> None:
    with pytest.raises(SigningError) as refused:
        await signer.sign(generate(fake_provider), VERTEX, fake_provider.credential("vertex", "refused"), b"")
    assert refused.value.status == 400
    assert json.loads(refused.value.body)["error"] == "invalid_grant"


async def test_a_key_that_google_does_not_know_gets_no_cached_token(fake_provider: FakeProvider, signer: Signer) -> None:
    """The same account and the same key id, with another private key: it must not ride on the token of the first."""
    good = fake_provider.credential("vertex")
    await signer.sign(generate(fake_provider), VERTEX, good, b"")
    forged = replace(good, secret={**good.secret, "private_key": another_key()})
    with pytest.raises(SigningError) as refused:
        await signer.sign(generate(fake_provider), VERTEX, forged, b"")
    assert b"Invalid JWT Signature" in refused.value.body


def another_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_tokens_of_two_organizations_are_never_mixed(fake_provider: FakeProvider, signer: Signer) -> None:
    outbound = generate(fake_provider)
    owners = [fake_provider.credential("vertex", number=number) for number in (1, 2)]
    signed = await asyncio.gather(*(signer.sign(outbound, VERTEX, owners[index % 2], b"") for index in range(10)))
    tokens = [each.headers["authorization"] for each in signed]
    assert all("-0001-" in token for token in tokens[::2])
    assert all("-0002-" in token for token in tokens[1::2])
    assert len(grants(fake_provider)) == 2


async def test_something_else_than_a_token_is_an_error(fake_provider: FakeProvider, signer: Signer) -> None:
    with pytest.raises(SigningError) as failed:
        await signer.sign(generate(fake_provider), VERTEX, fake_provider.credential("vertex", "html"), b"")
    assert failed.value.status is None


async def test_a_fetch_that_broke_off_is_tried_again(fake_provider: FakeProvider, signer: Signer) -> None:
    credential = fake_provider.credential("vertex", "cuts")
    for number in (1, 2):
        with pytest.raises((EgressError, SigningError)):
            await signer.sign(generate(fake_provider), VERTEX, credential, b"")
        assert len(grants(fake_provider)) == number


async def test_a_private_key_that_cannot_sign_is_an_error(fake_provider: FakeProvider, signer: Signer) -> None:
    good = fake_provider.credential("vertex")
    broken = replace(good, secret={**good.secret, "private_key": "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"})
    with pytest.raises(SigningError) as failed:
        await signer.sign(generate(fake_provider), VERTEX, broken, b"")
    assert "MII" not in str(failed.value)
    assert not fake_provider.requests


async def test_a_forgotten_token_is_fetched_anew(fake_provider: FakeProvider, signer: Signer) -> None:
    credential = fake_provider.credential("vertex")
    for _ in range(2):
        await signer.sign(generate(fake_provider), VERTEX, credential, GEMINI)
    assert len(grants(fake_provider)) == 1
    signer.forget(credential)
    signer.forget(fake_provider.credential("bedrock"))  # which never had one
    await signer.sign(generate(fake_provider), VERTEX, credential, GEMINI)
    assert len(grants(fake_provider)) == 2


async def test_tokens_that_have_ended_are_not_kept(fake_provider: FakeProvider, signer: Signer, clock: Clock) -> None:
    for number in range(1, 6):
        await signer.sign(generate(fake_provider), VERTEX, fake_provider.credential("vertex", number=number), GEMINI)
        clock.now += 2000
    assert len(signer._tokens) == 2
