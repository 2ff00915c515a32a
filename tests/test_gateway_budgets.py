"""Budgets in a running gateway: reserved at worst, settled by the fact, told so that nobody tries again in vain."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from django.utils import timezone

from keys import actions
from keys.overrides import spelled
from orgs.models import Organization, User
from tests.attempts import attempt
from tests.gateway_calls import GREETING, STREAMED, Reply, call, get, line, read_until
from tests.gateway_server import BY, RunningGateway
from usage.ingest import book
from usage.models import Budget, KeyPrice, ModelPrice, Period, Scope, Unpriced

pytest_plugins = ["tests.gateway_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True, serialized_rollback=True), pytest.mark.large]

FACT = 115  # millionths of a dollar that the fake's answer comes to
WORST = 560  # of BRIEF: 24 tokens in by its size, 50 out at most
BRIEF = {**GREETING, "max_tokens": 50}
HOMEMADE = {**BRIEF, "model": "deepinfra:openai/gpt-oss-120b"}  # of a provider without a price list


def allow(gateway: RunningGateway, microusd: int, scope: str = Scope.ORGANIZATION, target: object = "", **fields: Any) -> Budget:
    """A hard budget of a month, unless `fields` say otherwise."""
    row = Budget.objects.create(
        organization=gateway.organization,
        scope=scope,
        target_id=str(target),
        amount_microusd=microusd,
        **{"period": Period.MONTH, **fields},
    )
    gateway._bump()
    return row


def change(gateway: RunningGateway, budget: Budget, **fields: Any) -> None:
    Budget.objects.filter(pk=budget.pk).update(**fields)
    gateway._bump()


def until_refused(gateway: RunningGateway, body: Any = BRIEF) -> tuple[int, Reply]:
    """How many requests were answered, and the refusal."""
    for answered in range(100):
        reply = call(gateway, body)
        if reply.status != 200:
            return answered, reply
    raise AssertionError("nothing was ever refused")


def left(gateway: RunningGateway) -> int:
    [budget] = json.loads(get(gateway, "/v1/key").body)["budgets"]
    return int(budget["remaining"])


@pytest.fixture
def gateway(gateway: RunningGateway) -> RunningGateway:
    gateway.add("openai", name="main")
    return gateway


def test_what_does_not_fit_any_more_is_refused_for_good(gateway: RunningGateway) -> None:
    allow(gateway, WORST + 2 * FACT, period=Period.LIFETIME)
    answered, refused = until_refused(gateway)
    assert (answered, refused.status, refused.error["code"]) == (3, 402, "budget_exhausted")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert refused.error["message"] == (
        "The lifetime budget of this organization, $0.00079, has $0.0004 left, and this request may cost up to $0.0006. "
        "It does not reset; an owner of the organization can raise it."
    )
    assert len(gateway.fake.requests) == 3
    assert gateway.attempts()[-1].closed.error_class == "budget_exhausted"


def test_a_refusal_says_when_the_budget_resets(gateway: RunningGateway) -> None:
    Organization.objects.filter(pk=gateway.organization.pk).update(timezone="Europe/Berlin")
    allow(gateway, 0, period=Period.DAY)
    refused = call(gateway)
    assert refused.error["message"].startswith("The daily budget of this organization, $0.00, is used up. It resets on ")
    assert refused.error["message"].endswith(" at midnight, Europe/Berlin time.")
    assert refused.headers["x-keyhold-budget-resets-at"].endswith("+00:00")


def test_a_client_of_another_dialect_is_told_in_its_own(gateway: RunningGateway) -> None:
    allow(gateway, 0)
    refused = call(gateway, {**BRIEF, "model": "anthropic/claude-sonnet-4"}, "/v1/messages")
    assert (refused.status, refused.error["type"]) == (402, "billing_error")


def test_a_stream_is_settled_by_what_it_told(gateway: RunningGateway) -> None:
    allow(gateway, 100_000)
    assert b"[DONE]" in call(gateway, STREAMED).body
    [ended] = gateway.attempts()
    assert left(gateway) == 100_000 - round(ended.closed.input_tokens * 2.5 + ended.closed.output_tokens * 10)


def test_an_answer_that_nobody_waits_for_is_settled_at_worst(start_gateway: Any) -> None:
    """A provider goes on with what it was asked for at once, and bills it. A stream stops."""
    gateway = start_gateway()
    gateway.add("openai", "slow")
    allow(gateway, 1_000_000)
    for body, requests in ((BRIEF, 1), ({**BRIEF, "stream": True}, 2)):
        with line(gateway, body):
            assert gateway.fake.wait_for(lambda: len(gateway.fake.requests) == requests)  # noqa: B023
        assert gateway.fake.wait_for(lambda: gateway.fake.disconnects == requests)  # noqa: B023
    whole, stream = (each.closed for each in gateway.attempts())
    assert (whole.outcome, whole.output_tokens, whole.estimated) == ("cancelled", 50, True)
    assert stream.output_tokens <= 1
    assert left(gateway) == 1_000_000 - WORST - round(stream.input_tokens * 2.5 + stream.output_tokens * 10)


@pytest.mark.parametrize(("unpriced", "status", "counted"), [(Unpriced.REFUSE, 402, 0), (Unpriced.ASSUME, 200, 3_000)])
def test_speech_has_no_price_that_its_text_would_tell(gateway: RunningGateway, unpriced: str, status: int, counted: int) -> None:
    gateway.add("openai", name="voice", models=("gpt-4o-mini-tts",))
    budget = allow(gateway, 10_000, unpriced=unpriced, assumed_microusd=3_000)
    speech = {"model": "openai/gpt-4o-mini-tts", "input": "Hello", "voice": "alloy"}
    assert call(gateway, speech, "/v1/audio/speech").status == status
    assert left(gateway) == 10_000 - counted
    change(gateway, budget, amount_microusd=counted + 2_999)
    assert call(gateway, speech, "/v1/audio/speech").status == 402


@pytest.mark.parametrize("most", [10**12, 10**30])
def test_no_longest_answer_is_too_long_for_a_price(gateway: RunningGateway, most: int) -> None:
    allow(gateway, 10_000)
    assert call(gateway, {**GREETING, "max_tokens": most}).error["code"] == "budget_exhausted"


def test_a_failure_without_tokens_costs_nothing(start_gateway: Any) -> None:
    gateway = start_gateway()
    gateway.add("openai", "broken")
    allow(gateway, 10_000, unpriced=Unpriced.ASSUME, assumed_microusd=5_000)
    assert call(gateway, BRIEF).status == 502
    assert left(gateway) == 10_000


@pytest.mark.parametrize("scope", [Scope.MEMBER, Scope.CLIENT_KEY])
def test_a_budget_is_for_whom_it_was_set(gateway: RunningGateway, alice: User, bob: User, scope: str) -> None:
    issued = {
        person: actions.issue_client_key(organization=gateway.organization, name=person.name, owner=person, by=BY)
        for person in (alice, bob)
    }
    key, secret = issued[alice]
    allow(gateway, 0, scope, alice.pk if scope == Scope.MEMBER else key.pk)
    refused = call(gateway, headers={"authorization": f"Bearer {secret}"})
    whose = "the member Alice" if scope == Scope.MEMBER else "the client key “Alice”"
    assert refused.error["message"].startswith(f"The monthly budget of {whose}, $0.00, is used up.")
    assert call(gateway, headers={"authorization": f"Bearer {issued[bob][1]}"}).status == 200


def test_a_provider_key_at_its_budget_is_passed_over(gateway: RunningGateway) -> None:
    spare = gateway.add("openai", name="spare")
    main = gateway.organization.provider_keys.get(name="main")
    allow(gateway, WORST, Scope.PROVIDER_KEY, main.pk)
    served = [call(gateway, BRIEF).headers for _ in range(2)]
    assert [each["x-keyhold-key"] for each in served] == ["main", "spare"]
    reason = "openai:main skipped (has a monthly budget that has $0.0004 left, and this request may cost up to $0.0006)"
    assert reason in served[1]["x-keyhold-walk"]
    allow(gateway, 0, Scope.PROVIDER_KEY, spare.pk)
    refused = call(gateway, BRIEF)
    assert (refused.status, refused.error["code"]) == (402, "budget_exhausted")
    assert refused.error["message"].startswith("The monthly budget of the OpenAI key “main”, $0.00056, has $0.0004 left")


def test_a_soft_budget_counts_and_refuses_nothing(gateway: RunningGateway) -> None:
    allow(gateway, FACT, hard=False)
    assert [call(gateway, BRIEF).status for _ in range(3)] == [200, 200, 200]
    assert left(gateway) == 0


def test_an_edit_keeps_what_was_counted(gateway: RunningGateway) -> None:
    budget = allow(gateway, WORST)
    assert until_refused(gateway)[0] == 1
    change(gateway, budget, amount_microusd=WORST + FACT)
    assert until_refused(gateway)[0] == 1
    change(gateway, budget, amount_microusd=100_000, hard=False)
    assert left(gateway) == 100_000 - 2 * FACT


def test_what_was_booked_before_the_budget_was_set_counts(gateway: RunningGateway) -> None:
    book([attempt(gateway.organization, at=timezone.now()), attempt(gateway.organization, at=timezone.now())])
    allow(gateway, 10_000)
    assert left(gateway) == 10_000 - 2 * 450


@pytest.mark.parametrize(
    ("unpriced", "status", "counted"), [(Unpriced.NOTHING, 200, 0), (Unpriced.ASSUME, 200, 700), (Unpriced.REFUSE, 402, 0)]
)
def test_without_a_price_what_the_owner_said_counts(gateway: RunningGateway, unpriced: str, status: int, counted: int) -> None:
    gateway.add("deepinfra")
    allow(gateway, 10_000, unpriced=unpriced, assumed_microusd=700)
    reply = call(gateway, HOMEMADE)
    assert reply.status == status
    assert left(gateway) == 10_000 - counted
    if status == 402:
        assert reply.error["code"] == "price_unknown"
        assert "No price is known for deepinfra:openai/gpt-oss-120b" in reply.error["message"]
        assert call(gateway, BRIEF).status == 200


def test_an_own_price_is_a_price(gateway: RunningGateway) -> None:
    gateway.add("deepinfra")
    ModelPrice.objects.create(
        organization=gateway.organization,
        provider="deepinfra",
        model=spelled(HOMEMADE["model"]),
        from_day=date(2020, 1, 1),
        input_microusd=10**6,
        output_microusd=10**6,
    )
    allow(gateway, 10_000, unpriced=Unpriced.REFUSE)
    assert call(gateway, HOMEMADE).status == 200


@pytest.mark.parametrize("of_one_key", [True, False])
def test_an_own_price_is_held_and_counted_in_place_of_the_list_price(gateway: RunningGateway, of_one_key: bool) -> None:
    main = gateway.organization.provider_keys.get(name="main")
    rates = {"input_microusd": 25 * 10**5, "cached_input_microusd": 0, "output_microusd": 20 * 10**6}
    ModelPrice.objects.create(
        organization=gateway.organization,
        provider="openai",
        model=spelled(BRIEF["model"]),
        provider_key_id=main.pk if of_one_key else None,
        from_day=date(2020, 1, 1),
        **rates,
    )
    allow(gateway, WORST + 500, period=Period.LIFETIME)  # 50 tokens out at 20 dollars a million in place of 10
    assert call(gateway, BRIEF).status == 200
    [ended] = gateway.attempts()
    fact = round(ended.closed.input_tokens * 2.5 + ended.closed.output_tokens * 20)
    assert left(gateway) == WORST + 500 - fact
    refused = call(gateway, BRIEF)
    assert (refused.status, refused.error["code"]) == (402, "budget_exhausted")
    assert "this request may cost up to $0.0011" in refused.error["message"]


def test_the_dearest_of_several_keys_is_held_although_the_last_is_cheap(gateway: RunningGateway) -> None:
    cheap = gateway.add("openai", name="negotiated")
    KeyPrice.objects.create(
        organization=gateway.organization, provider_key_id=cheap.pk, from_day=date(2020, 1, 1), thousandths=100
    )
    allow(gateway, WORST - 1)
    assert call(gateway, BRIEF).status == 402


def test_a_key_without_a_price_is_passed_over_where_a_budget_wants_one(gateway: RunningGateway) -> None:
    gateway.add("deepinfra", name="cheap", models=("openai/gpt-4o",))
    gateway.prefer(order=["deepinfra"])
    allow(gateway, 10_000, unpriced=Unpriced.REFUSE)
    reply = call(gateway, BRIEF)
    assert (reply.status, reply.headers["x-keyhold-key"]) == (200, "main")
    assert "cheap skipped (has no known price for this" in reply.headers["x-keyhold-walk"]


def test_looking_costs_nothing_and_is_never_refused(gateway: RunningGateway) -> None:
    allow(gateway, 0)
    assert get(gateway, "/native/openai/models").status == 200
    assert call(gateway, BRIEF, "/native/openai/chat/completions").status == 402


def test_sixty_four_at_once_overspend_nothing_and_are_told_who_may_come_again(gateway: RunningGateway) -> None:
    allow(gateway, 20_000)

    def ask(_: int) -> str:
        while True:
            reply = call(gateway, BRIEF)
            if reply.status != 429:
                return str(reply.status) if reply.status == 200 else f"{reply.status} {reply.error['code']}"
            assert (reply.error["code"], reply.headers["retry-after"]) == ("budget_reserved", "1")

    with ThreadPoolExecutor(64) as pool:
        said = list(pool.map(ask, range(250)))
    assert set(said) == {"200", "402 budget_exhausted"}
    assert 20_000 - WORST < spent(gateway) <= 20_000
    assert left(gateway) == 20_000 - spent(gateway)


def spent(gateway: RunningGateway) -> int:
    return FACT * sum(ended.closed.outcome == "ok" for ended in gateway.attempts())


def test_a_request_whose_worst_is_held_by_another_may_come_again(gateway: RunningGateway) -> None:
    gateway.add("groq", "slow")
    allow(gateway, 1_000)
    with line(gateway, {**STREAMED, "model": "groq:openai/gpt-oss-120b", "max_tokens": 1_200}) as running:
        read_until(running, b"\r\n\r\n")
        told = call(gateway, BRIEF)
    assert (told.status, told.error["code"]) == (429, "budget_reserved")
    assert (
        "has enough left for this request, but other requests hold it at the moment. Try again in a second."
        in told.error["message"]
    )
