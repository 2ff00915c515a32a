"""Each kind of failure, streaming or not, on the first key and on the last: what is tried next, and what it does to the key."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from gateway.admission import Admission, Asked, Grant
from gateway.attempts import FEWEST_RETRIES, Ledger, Walk
from gateway.counters import Taken
from gateway.health import HealthBoard
from gateway.refusals import no_candidate
from keys.health import FEWEST_ANSWERS, OPEN_SECONDS, WELL, State
from keys.models import ProviderKey
from keys.providers.errors import ErrorClass
from keys.routes import health_of
from keys.routing import Candidate, Mark, Plan, RouteKey, plan
from tests.gateway_calls import GREETING, STREAMED, Reply, call, line, read_until
from tests.gateway_server import RunningGateway, StartGateway
from usage.journal import Journal

pytestmark = pytest.mark.large

pytest_plugins = ["tests.gateway_fixtures"]

CLASSES = {
    # behavior: (error class, status in the books, health after one, status told where no key is left)
    "refused": ("refused", 401, State.FAILING, 502),
    "payment": ("out_of_money", 402, State.FAILING, 402),
    "exhausted": ("out_of_money", 429, State.FAILING, 402),
    "forbidden": ("no_permission", 403, State.HEALTHY, 502),
    "limited": ("limited", 429, State.LIMITED, 429),
    "broken": ("trouble", 500, State.HEALTHY, 502),
    "overloaded": ("trouble", 503, State.HEALTHY, 502),
    "stalls": ("trouble", None, State.HEALTHY, 504),
    "html": ("trouble", 200, State.HEALTHY, 502),
}


@pytest.fixture
def for_behavior(start_gateway: StartGateway, behavior: str) -> RunningGateway:
    """Patient, but where a provider that does not answer is what is tested."""
    return start_gateway(first_byte_seconds=0.4 if behavior == "stalls" else 30.0)


def health(gateway: RunningGateway, key: ProviderKey) -> State:
    """As the database has it once the gateway told it."""
    gateway.directory.refresh()
    key.refresh_from_db()
    return health_of(key).state


def body_of(reply: Reply) -> bool:
    return b"error" not in reply.body[:200]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behavior", CLASSES)
def test_a_failure_on_the_first_key_is_absorbed_by_the_next(for_behavior: RunningGateway, behavior: str, stream: bool) -> None:
    gateway = for_behavior
    error_class, status, state, _ = CLASSES[behavior]
    first = gateway.add("openai", behavior)
    second = gateway.add("openai", name="spare")
    reply = call(gateway, STREAMED if stream else GREETING)
    assert (reply.status, body_of(reply)) == (200, True)
    assert gateway.outcomes() == [("absorbed", error_class, status), ("ok", "", 200)]
    assert (reply.headers["x-keyhold-key"], reply.headers["x-keyhold-fallback"]) == ("spare", "byok")
    assert (health(gateway, first), health(gateway, second)) == (state, State.HEALTHY)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behavior", CLASSES)
def test_a_failure_on_the_last_key_is_told(for_behavior: RunningGateway, behavior: str, stream: bool) -> None:
    gateway = for_behavior
    error_class, status, state, told = CLASSES[behavior]
    key = gateway.add("openai", behavior)
    reply = call(gateway, STREAMED if stream else GREETING)
    assert (reply.status, gateway.outcomes()) == (told, [("error", error_class, status)])
    assert health(gateway, key) == state


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_request_itself_does_wrong_is_told_at_once_and_hurts_no_key(gateway: RunningGateway, stream: bool) -> None:
    keys = [gateway.add("openai"), gateway.add("openai", name="spare")]
    reply = call(gateway, {**(STREAMED if stream else GREETING), "messages": []})
    assert (reply.status, gateway.outcomes()) == (400, [("error", "client", 400)])
    assert [health(gateway, key) for key in keys] == [State.HEALTHY] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_at_most_three_keys_are_tried(gateway: RunningGateway, stream: bool) -> None:
    for number in range(4):
        gateway.add("openai", "limited", name=f"Key {number}")
    gateway.add("openai", name="never reached")
    reply = call(gateway, STREAMED if stream else GREETING)
    assert (reply.status, reply.headers["x-keyhold-attempts"]) == (429, "3")
    assert gateway.outcomes() == [("error", "limited", 429)] * 3
    assert len(gateway.fake.requests) == 3


def test_nothing_is_tried_again_after_the_first_byte(gateway: RunningGateway) -> None:
    gateway.add("openai", "cuts")
    gateway.add("openai", name="spare")
    reply = call(gateway, STREAMED)
    assert reply.status == 200
    assert b"stream_broken" in reply.body
    assert gateway.outcomes() == [("error", "trouble", 200)]
    assert len(gateway.fake.requests) == 1


@pytest.mark.parametrize("behavior", ["limited", "broken", "refused", "payment", "forbidden"])
@pytest.mark.parametrize("stays", [True, False])
def test_an_owner_decides_after_which_failures_the_next_key_is_tried(gateway: RunningGateway, behavior: str, stays: bool) -> None:
    move = {"limited": "limited", "broken": "trouble"}.get(behavior, "refused")
    others = [each for each in ("limited", "trouble", "refused") if (each == move) != stays]
    gateway.prefer(move_on=others)
    gateway.add("openai", behavior)
    gateway.add("openai", name="spare")
    reply = call(gateway)
    assert (reply.status == 200) != stays
    assert len(gateway.attempts()) == (1 if stays else 2)


# A key that is out


@contextmanager
def later(gateway: RunningGateway, seconds: float) -> Iterator[None]:
    """The gateway's clock for health, moved on."""
    board, clock = gateway.directory.board, gateway.directory.board.clock
    board.clock = lambda: clock() + seconds
    try:
        yield
    finally:
        board.clock = clock


def test_a_broken_key_goes_out_after_five_answers_and_comes_back_by_itself(gateway: RunningGateway) -> None:
    first = gateway.add("openai", "broken", name="main")
    gateway.add("openai", name="spare")
    for _ in range(FEWEST_ANSWERS):
        assert call(gateway).headers["x-keyhold-attempts"] == "2"
    passed_over = call(gateway)
    assert passed_over.headers["x-keyhold-attempts"] == "1"
    assert passed_over.headers["x-keyhold-walk"].startswith("openai:main skipped (is failing since")
    assert health(gateway, first) is State.FAILING
    gateway.reseal(first, "valid")
    with later(gateway, OPEN_SECONDS + 1):
        back = call(gateway)
    assert (back.headers["x-keyhold-key"], back.headers["x-keyhold-fallback"]) == ("main", "none")
    assert gateway.attempts()[-1].opened.mark == "probe"
    assert health(gateway, first) is State.HEALTHY


def test_a_refused_key_stays_out_until_a_test_passes(gateway: RunningGateway) -> None:
    key = gateway.add("openai", "refused", name="main")
    call(gateway)
    with later(gateway, 10_000_000):
        reply = call(gateway)
    assert (reply.status, reply.error["code"], reply.headers["x-should-retry"]) == (503, "no_working_key", "false")
    assert "OpenAI key “main” is failing since" in reply.error["message"]
    assert len(gateway.fake.requests) == 1
    gateway.reseal(key, "valid")
    gateway.passes_test(key)
    assert call(gateway).status == 200


def test_a_limited_key_is_left_alone_until_its_time_and_then_used_by_all(gateway: RunningGateway) -> None:
    key = gateway.add("openai", "limited", name="main")
    gateway.add("openai", name="spare")
    call(gateway)
    assert call(gateway).headers["x-keyhold-attempts"] == "1"
    assert health(gateway, key) is State.LIMITED
    gateway.reseal(key, "valid")
    with later(gateway, 8):  # the fake says 7 seconds
        assert call(gateway).headers["x-keyhold-key"] == "main"
    assert health(gateway, key) is State.HEALTHY


def test_when_all_keys_are_out_the_one_that_comes_back_first_is_tried_and_marked(gateway: RunningGateway) -> None:
    gateway.add("openai", "limited", name="seven seconds")
    gateway.add("openai", "refused", name="never")
    call(gateway)
    reply = call(gateway)
    assert (reply.status, reply.headers["x-keyhold-key"]) == (429, "seven seconds")
    assert gateway.attempts()[-1].opened.mark == "last_resort"


def test_one_request_probes_while_others_pass_by(gateway: RunningGateway) -> None:
    main = gateway.add("openai", "broken", name="main")
    gateway.add("openai", name="spare")
    for _ in range(FEWEST_ANSWERS):
        call(gateway)
    gateway.reseal(main, "slow")
    with later(gateway, OPEN_SECONDS + 1), line(gateway, GREETING) as probing:
        assert gateway.fake.wait_for(lambda: gateway.fake.requests[-1].behavior == "slow")
        assert call(gateway).headers["x-keyhold-key"] == "spare"
        gateway.fake.go()
        assert b"200 OK" in read_until(probing, b"chat.completion")
    assert sum(received.behavior == "slow" for received in gateway.fake.requests) == 1


def routed(number: int) -> RouteKey:
    return RouteKey(UUID(int=number), "openai", f"Key {number}", number, "prioritized", True, True, frozenset(), ())


def walk_of(plan: Plan, board: HealthBoard, written: Journal) -> Walk:
    """Of a caller without limits."""
    caller = cast(Any, SimpleNamespace(tenant=None))
    grant = Grant(Admission(cast(Any, None)), Asked(caller, cast(Any, None), ()), (), Taken(()))
    return Walk(Ledger(written, board), caller, cast(Any, None), "", plan, grant)


async def first_tried(walk: Walk) -> Candidate | None:
    for candidate in walk.candidates():
        if await walk.may_try(candidate, cast(Any, None)):
            return candidate
    return None


@pytest.mark.parametrize(("spare", "expected"), [(True, (2, Mark.NONE)), (False, (1, Mark.LAST_RESORT))])
def test_a_probe_that_another_request_took_meanwhile_leaves_nobody_without_a_key(
    tmp_path: Path, spare: bool, expected: tuple[int, Mark]
) -> None:
    now = 1_000_000.0
    board = HealthBoard(lambda: now)
    keys = [
        RouteKey(UUID(int=n), "openai", f"Key {n}", n, "prioritized", True, True, frozenset(), ()) for n in (1, 2)[: 1 + spare]
    ]
    for _ in range(FEWEST_ANSWERS):
        board.note(keys[0].id, 1, ErrorClass.TROUBLE)
    now += OPEN_SECONDS
    made = plan(keys, "gpt-4o", health=board.health, now=now)
    assert made.candidates[0].mark is Mark.PROBE
    assert board.claim(keys[0].id) is None  # the other request
    written = Journal(tmp_path)
    walk = walk_of(made, board, written)
    first = asyncio.run(first_tried(walk))
    assert first is not None
    assert (first.key.id.int, first.mark) == expected
    assert bool(walk.skipped) == spare
    written.stop()


def test_a_key_that_was_refused_meanwhile_is_told_with_its_reason(tmp_path: Path) -> None:
    board = HealthBoard()
    key = routed(1)
    made = plan([key], "gpt-4o")
    board.note(key.id, 1, ErrorClass.REFUSED, definite=True)
    written = Journal(tmp_path)
    walk = walk_of(made, board, written)
    assert asyncio.run(first_tried(walk)) is None
    assert no_candidate("gpt-4o", cast(Any, None), walk.as_walked(), lent=False).code == "no_working_key"
    written.stop()


def test_retries_at_a_provider_in_trouble_are_budgeted_and_other_providers_are_not(gateway: RunningGateway) -> None:
    gateway.add("openai", "broken", name="main")
    gateway.add("openai", "valid", name="same provider")
    other = gateway.add("groq", "valid", name="other provider", models=("openai/gpt-4o",))
    gateway.budget.retrying = FEWEST_RETRIES
    reply = call(gateway)
    assert reply.headers["x-keyhold-key"] == other.name
    assert "openai:same provider skipped (is with a provider in trouble" in reply.headers["x-keyhold-walk"]
    gateway.budget.retrying = 0
    assert call(gateway).headers["x-keyhold-key"] == "same provider"
    gateway.drain()
    assert (gateway.budget.running, gateway.budget.retrying) == (0, 0)


def test_health_outlives_the_process_and_is_shared(gateway: RunningGateway, start_gateway: StartGateway) -> None:
    gateway.add("openai", "refused", name="main")
    gateway.add("openai", name="spare")
    call(gateway)
    gateway.directory.refresh()
    other = start_gateway()
    assert call(other).headers["x-keyhold-attempts"] == "1"


def test_a_key_of_which_the_secret_was_replaced_is_not_blamed_for_the_old_one() -> None:
    board, key = HealthBoard(), UUID(int=1)
    board.adopt(key, 1, WELL)
    board.note(key, 1, ErrorClass.LIMITED)
    board.adopt(key, 2, WELL)
    assert (key in board.health, board.take()) == (False, [])
    board.note(key, 1, ErrorClass.REFUSED, definite=True)
    assert (key in board.health, board.take()) == (False, [])


@pytest.mark.parametrize("behavior", ["echoes", "limited"])
def test_owners_see_what_the_provider_said_and_never_the_key(gateway: RunningGateway, behavior: str) -> None:
    key = gateway.add("openai", behavior, name="main")
    call(gateway)
    gateway.directory.refresh()
    key.refresh_from_db()
    assert key.last_error["status"] == (401 if behavior == "echoes" else 429)
    assert key.last_error["message"]
    secret = gateway.fake.key("openai", behavior)
    told = [key.last_error, key.status_reason, *(event.changes for event in gateway.organization.audit_events.all())]
    assert secret not in str(told)


def test_a_report_that_the_database_refuses_holds_up_nothing(gateway: RunningGateway, caplog: pytest.LogCaptureFixture) -> None:
    key = gateway.add("openai", name="main")
    gateway.directory.board.note(key.pk, 1, ErrorClass.LIMITED, retry_after=1e300, error={"message": object()})
    gateway.directory.refresh()
    assert "cannot be written (TypeError)" in caplog.text
    assert gateway.directory.board.take() == []


def test_what_could_not_be_written_stays_owed_and_newer_news_go_first() -> None:
    board, key = HealthBoard(), UUID(int=1)
    board.note(key, 1, ErrorClass.LIMITED, retry_after=7)
    reports = board.take()
    board.note(key, 1, ErrorClass.REFUSED, definite=True)
    board.give_back(reports)
    assert [report.health.error_class for report in board.take()] == ["refused"]
