"""The order of keys: how it is moved, who wins when two save at once, and where a new key comes."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import connection

from keys import order
from keys.actions import OrderConflict, add_key, disable_key, remove_key, reorder_keys
from keys.actions.ordering import live
from keys.models import ProviderKey, RoutingPreference
from keys.order import Order, Place
from keys.providers import Credential
from orgs.actions import Actor
from orgs.models import AuditEvent, Organization, User


def places(text: str) -> Order:
    """`a1 a2 b1 | c1`: letters are providers, and what comes after the bar is fallback."""
    tiers = zip(("prioritized", "fallback"), text.split("|"), strict=False)
    return [Place(id_of(word), word[0], tier) for tier, words in tiers for word in words.split()]


def id_of(word: str) -> UUID:
    return UUID(bytes=word.encode().ljust(16, b"."))


def shown(found: Iterable[Place]) -> str:
    words = {"prioritized": "", "fallback": ""}
    for place in found:
        words[place.tier] += place.key.bytes.decode().rstrip(".") + " "
    return " | ".join(part.strip() for part in words.values() if part)


@pytest.mark.parametrize(
    ("scattered", "together"),
    [("a1 b1 a2", "a1 a2 b1"), ("b1 a1 b2 | a2 c1 a3", "b1 b2 a1 | a2 a3 c1"), ("", "")],
)
def test_keys_of_one_provider_stand_together_within_a_tier(scattered: str, together: str) -> None:
    assert shown(order.grouped(places(scattered))) == together


@pytest.mark.parametrize(
    ("before", "move", "after"),
    [
        ("a1 b1 c1", "down:prioritized:a", "b1 a1 c1"),
        ("a1 a2 b1 c1", "up:prioritized:c", "a1 a2 c1 b1"),
        ("a1 b1 b2", "down:prioritized:a", "b1 b2 a1"),
        ("a1 b1", "up:prioritized:a", "a1 b1"),
        ("a1 | b1 c1", "up:fallback:b", "a1 | b1 c1"),
        ("a1 | b1 c1", "up:fallback:c", "a1 | c1 b1"),
        ("a1 a2 a3 b1", f"down:{id_of('a1')}", "a2 a1 a3 b1"),
        ("a1 a2 b1", f"up:{id_of('a2')}", "a2 a1 b1"),
        ("a1 a2 b1", f"down:{id_of('a2')}", "a1 a2 b1"),
        ("a1 a2 b1", f"tier:{id_of('a1')}", "a2 b1 | a1"),
        ("a1 b1 | a2", f"tier:{id_of('a2')}", "a1 a2 b1"),
        ("a1 a2 b1 | c1", "tier:prioritized:a", "b1 | c1 a1 a2"),
        ("a1 b1", "up:4dade1bc-b83d-4d59-a177-2f5a58bc8c5b", "a1 b1"),
        ("a1 b1", "sideways:prioritized:a", "a1 b1"),
        ("a1 b1", "", "a1 b1"),
    ],
)
def test_a_move_passes_one_neighbor_or_changes_the_tier(before: str, move: str, after: str) -> None:
    assert shown(order.moved(places(before), move, lambda _: True)) == after


def test_a_move_passes_by_keys_that_are_not_drawn() -> None:
    def drawn(place: Place) -> bool:
        return place.key not in {id_of("b1"), id_of("a2")}

    assert shown(order.moved(places("a1 a2 a3 b1 c1"), "down:prioritized:a", drawn)) == "b1 c1 a1 a2 a3"
    assert shown(order.moved(places("a1 a2 a3 b1"), f"up:{id_of('a3')}", drawn)) == "a3 a1 a2 b1"
    assert shown(order.moved(places("c1 b1"), "down:prioritized:c", drawn)) == "c1 b1"


def test_what_was_sent_is_read_and_the_rest_is_left_out() -> None:
    sent = [place.written for place in places("c1 d1 | a1")] + [f"{id_of('b1')}:middle", "nonsense:fallback", ""]
    wanted = order.read(sent)
    assert wanted == [(id_of("c1"), "prioritized"), (id_of("d1"), "prioritized"), (id_of("a1"), "fallback")]
    assert shown(order.placed(wanted, places("a1 b1 | c1"))) == "c1 | a1"


def test_my_order_on_top_of_theirs_has_their_keys_and_my_places() -> None:
    theirs, mine = places("c1 a1 a2 | b1"), places("b1 a1 d1 | c1")
    assert shown(order.on_top_of(theirs, mine)) == "b1 a1 a2 | c1"


# Saving it


CREDENTIAL = Credential(secret={"api_key": "sk-an-order"}, public={}, hint="sk-…rder")


@pytest.fixture
def by(alice: User) -> Actor:
    return Actor(label="Alice", user=alice)


def add(organization: Organization, provider: str, name: str, by: Actor, **changes: Any) -> ProviderKey:
    fields: dict[str, Any] = {"credential": CREDENTIAL, "test": None, "needs_test": False} | changes
    return add_key(organization=organization, provider=provider, name=name, by=by, **fields)


def stored(organization: Organization) -> list[tuple[int, str, str]]:
    return [(key.priority, str(key), key.tier) for key in ProviderKey.objects.for_org(organization)]


def version(organization: Organization) -> int:
    found = RoutingPreference.objects.filter(organization=organization).first()
    return found.order_version if found else 0


@pytest.fixture
def keys(acme: Organization, by: Actor) -> dict[str, ProviderKey]:
    return {name: add(acme, provider, name, by) for provider, name in [("openai", "A"), ("openai", "B"), ("groq", "C")]}


def test_a_new_key_comes_after_its_provider_and_a_new_provider_last(acme: Organization, by: Actor) -> None:
    names = [("openai", "A"), ("groq", "B"), ("openai", "C"), ("azure", "D")]
    added = [add(acme, *each, by) for each in names]
    assert [name for _, name, _ in stored(acme)] == ["OpenAI A", "OpenAI C", "Groq B", "Azure D"]
    assert [number for number, _, _ in stored(acme)] == [1, 2, 3, 4]
    assert added[2].priority == 2
    assert version(acme) == 4


def test_a_new_key_comes_before_the_fallback_tier(acme: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    pairs = [(keys["A"].pk, "prioritized"), (keys["B"].pk, "fallback"), (keys["C"].pk, "fallback")]
    reorder_keys(organization=acme, order=pairs, version=version(acme), by=by)
    add(acme, "groq", "D", by)
    assert [(name, tier) for _, name, tier in stored(acme)] == [
        ("OpenAI A", "prioritized"),
        ("Groq D", "prioritized"),
        ("OpenAI B", "fallback"),
        ("Groq C", "fallback"),
    ]


@time_machine.travel("2026-11-23T09:40:00Z", tick=False)
def test_a_saved_order_is_live_audited_by_name_and_told_to_the_gateways(
    acme: Organization, by: Actor, alice: User, keys: dict[str, ProviderKey]
) -> None:
    acme.refresh_from_db()
    told, before = acme.routing_version, version(acme)
    pairs = [(keys["C"].pk, "prioritized"), (keys["A"].pk, "prioritized"), (keys["B"].pk, "fallback")]
    reorder_keys(organization=acme, order=pairs, version=before, by=by)
    assert stored(acme) == [(1, "Groq C", "prioritized"), (2, "OpenAI A", "prioritized"), (3, "OpenAI B", "fallback")]
    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.actor, event.target_label) == ("routing:reorder", alice, "Acme")
    assert event.changes == {
        "before": {"prioritized": ["OpenAI A", "OpenAI B", "Groq C"], "fallback": []},
        "after": {"prioritized": ["Groq C", "OpenAI A"], "fallback": ["OpenAI B"]},
    }
    routing = RoutingPreference.objects.get(organization=acme)
    assert (routing.order_version, routing.ordered_by, str(routing.ordered_at)) == (
        before + 1,
        alice,
        "2026-11-23 09:40:00+00:00",
    )
    acme.refresh_from_db()
    assert acme.routing_version == told + 1


def test_an_order_that_scatters_a_provider_is_drawn_together(acme: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    pairs = [(keys[name].pk, "prioritized") for name in ("B", "C", "A")]
    reorder_keys(organization=acme, order=pairs, version=version(acme), by=by)
    assert [name for _, name, _ in stored(acme)] == ["OpenAI B", "OpenAI A", "Groq C"]


def test_the_same_order_writes_and_tells_nothing(acme: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    before, events = version(acme), AuditEvent.objects.count()
    pairs = [(key.pk, "prioritized") for key in keys.values()]
    reorder_keys(organization=acme, order=pairs, version=before, by=by)
    assert (version(acme), AuditEvent.objects.count()) == (before, events)


def test_only_rows_that_move_are_written(
    acme: Organization, by: Actor, keys: dict[str, ProviderKey], django_assert_max_num_queries: Any
) -> None:
    pairs = [(keys[name].pk, "prioritized") for name in ("B", "A", "C")]
    with django_assert_max_num_queries(20) as captured:
        reorder_keys(organization=acme, order=pairs, version=version(acme), by=by)
    (update,) = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "keys_providerkey"')]
    assert keys["A"].pk.hex[:8] in update
    assert keys["C"].pk.hex[:8] not in update


def test_an_old_version_is_a_conflict_and_nothing_is_written(
    acme: Organization, by: Actor, alice: User, keys: dict[str, ProviderKey]
) -> None:
    before, present = version(acme), stored(acme)
    pairs = [(keys[name].pk, "fallback") for name in ("C", "B", "A")]
    with pytest.raises(OrderConflict) as conflict:
        reorder_keys(organization=acme, order=pairs, version=before - 1, by=by)
    assert (conflict.value.by, conflict.value.version, conflict.value.reordered) == (alice, before, True)
    assert conflict.value.theirs == live(ProviderKey.objects.for_org(acme))
    assert (version(acme), stored(acme)) == (before, present)


def test_a_key_that_came_or_went_meanwhile_is_a_conflict(acme: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    before = version(acme)
    pairs = [(keys[name].pk, "prioritized") for name in ("C", "B", "A")]
    added = add(acme, "groq", "D", by)
    with pytest.raises(OrderConflict) as conflict:
        reorder_keys(organization=acme, order=pairs, version=before, by=by)
    assert conflict.value.reordered
    remove_key(key=added, by=by)
    remove_key(key=keys["B"], by=by)
    for wrong in (pairs, pairs[:1], [*pairs, pairs[0]]):
        with pytest.raises(OrderConflict) as conflict:
            reorder_keys(organization=acme, order=wrong, version=version(acme), by=by)
        assert not conflict.value.reordered


def test_a_key_that_is_off_keeps_its_place(acme: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    disable_key(key=keys["A"], by=by)
    pairs = [(keys[name].pk, "prioritized") for name in ("C", "A", "B")]
    reorder_keys(organization=acme, order=pairs, version=version(acme), by=by)
    assert [name for _, name, _ in stored(acme)] == ["Groq C", "OpenAI A", "OpenAI B"]


def test_anothers_key_cannot_be_placed(acme: Organization, globex: Organization, by: Actor, keys: dict[str, ProviderKey]) -> None:
    theirs = add(globex, "openai", "Theirs", by)
    with pytest.raises(OrderConflict):
        reorder_keys(
            organization=acme,
            order=[(key.pk, "fallback") for key in (*keys.values(), theirs)],
            version=version(acme),
            by=by,
        )
    assert stored(globex) == [(1, "OpenAI Theirs", "prioritized")]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_two_who_save_at_once_one_wins_whole(
    postgres_only: None, acme: Organization, by: Actor, keys: dict[str, ProviderKey]
) -> None:
    seen = version(acme)
    wishes = [[(keys[name].pk, tier) for name in names] for names, tier in (("CBA", "fallback"), ("BAC", "prioritized"))]

    def save(number: int) -> OrderConflict | None:
        try:
            reorder_keys(organization=acme, order=wishes[number % 2], version=seen, by=by)
        except OrderConflict as conflict:
            return conflict
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(6) as pool:
        conflicts = list(pool.map(save, range(6)))
    (winner,) = [number for number, conflict in enumerate(conflicts) if conflict is None]
    assert [key.name for key in ProviderKey.objects.for_org(acme)] == list(("CBA", "BAC")[winner % 2])
    assert len({key.tier for key in ProviderKey.objects.for_org(acme)}) == 1
    assert version(acme) == seen + 1
    assert {tuple(conflict.theirs) for conflict in conflicts if conflict} == {tuple(live(ProviderKey.objects.for_org(acme)))}
