"""The registration of one host against a store whose leases end when the test says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.registrar import LEAVE_WITHIN_S, Registrar
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from store.snapshot import Entry
from tests.harness.leased_store import LeasedStore

KEY = "/meshd/v1/hosts/h1"
RECORD = OwnRecord(
    host="h1",
    address="10.0.0.1",
    workloads=(
        OwnWorkload(
            "reviews-h1", "default", "reviews", {}, (OwnPort(9080, "http", "HTTP", 15006),)
        ),
    ),
)
TTL_S = 15.0
T = TypeVar("T")


@pytest.fixture
def store() -> LeasedStore:
    return LeasedStore()


async def call_here(_: Registrar, call: Callable[[], T]) -> T:
    """A call without a thread, which the clock would not see: on a busy machine time would leap past its answer."""
    await trio.lowlevel.checkpoint()
    return call()


@pytest.fixture
def clock(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    monkeypatch.setattr(Registrar, "_call", call_here)
    return autojump_clock


@asynccontextmanager
async def registered(store: LeasedStore, record: OwnRecord = RECORD) -> AsyncIterator[Registrar]:
    registrar = Registrar(store, record, TTL_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registrar.run)
        await reach(registrar, "registered")
        yield registrar
        nursery.cancel_scope.cancel()


async def reach(registrar: Registrar, state: str) -> None:
    await comes(lambda: registrar.view.state == state, f"{state}")


async def comes(predicate: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    """Looks twice a second of virtual time."""
    end = trio.current_time() + within_s
    while not predicate():
        assert trio.current_time() < end, f"waited {within_s} s for {what}; it did not come"
        await trio.sleep(0.5)


def states(store: LeasedStore) -> list[str]:
    return [json.loads(value)["state"] for value in store.writes]


def own_entry(store: LeasedStore) -> Entry:
    return store.entries[KEY]


async def test_what_a_host_says_anew_is_written_at_once(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        registrar.say(lambda own: replace(own, unhealthy=frozenset({"reviews-h1"})))

        def is_told() -> bool:
            entry = store.get(KEY)
            return entry is not None and b'"health":"unhealthy"' in entry.value

        await comes(is_told, "the new word", within_s=TTL_S / 10)


async def test_the_key_is_written_once_and_its_lease_renewed_at_a_third_of_its_life(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        await trio.sleep(10 * TTL_S)
        (lease,) = store.leases.values()
        assert 29 <= lease.renewals <= 31
        assert len(store.writes) == 1
        assert registrar.view.renewed_at_s is not None
        assert trio.current_time() - registrar.view.renewed_at_s <= TTL_S / 3 + 0.1


async def test_a_lost_lease_is_ordinary(store: LeasedStore, clock: MockClock) -> None:
    async with registered(store):
        before = own_entry(store).lease
        store.expire(before)
        await comes(lambda: KEY in store.entries, "the key to come back", TTL_S)
        assert own_entry(store).lease != before


async def test_hours_without_a_store_are_waited_out(store: LeasedStore, clock: MockClock) -> None:
    """Pauses double with each failure, up to a bound; after a thousand failures nothing overflows."""
    async with registered(store) as registrar:
        store.is_away = True
        await reach(registrar, "unreachable")
        assert "nobody answers" in registrar.view.error
        await trio.sleep(3600)
        store.expire(own_entry(store).lease)
        store.is_away = False
        await reach(registrar, "registered")
        assert registrar.view.error == ""
        assert KEY in store.entries


async def test_a_key_that_somebody_deleted_is_written_again_at_once(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        store.delete(KEY)
        began_s = trio.current_time()
        registrar.compare(None, store.revision)
        await comes(lambda: KEY in store.entries, "the key to come back", 1.0)
        assert trio.current_time() - began_s <= 1.0


async def test_an_older_look_at_the_store_says_nothing(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        registrar.compare(None, own_entry(store).mod_revision - 1)
        await trio.sleep(TTL_S)
        assert len(store.writes) == 1


async def test_a_key_that_somebody_overwrote_is_mended_without_haste(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        store.write(KEY, b"nonsense")
        registrar.compare(own_entry(store), store.revision)
        await comes(lambda: own_entry(store).lease != 0, "the key to be mended", TTL_S)
        assert own_entry(store).value == RECORD.encode()
        assert len(store.writes) == 3


async def test_two_hosts_of_one_name_do_not_overwrite_each_other(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as first, trio.open_nursery() as nursery:
        second = Registrar(store, replace(RECORD, address="10.0.0.2"), TTL_S)
        nursery.start_soon(second.run)
        await reach(second, "taken")
        assert "10.0.0.1" in second.view.error
        await trio.sleep(10 * TTL_S)
        assert (first.view.state, second.view.state) == ("registered", "taken")
        assert len(store.writes) == 1
        await first.withdraw()
        await reach(second, "registered")
        nursery.cancel_scope.cancel()


async def test_a_restarted_sidecar_takes_its_key_over(store: LeasedStore, clock: MockClock) -> None:
    async with registered(store):
        before = own_entry(store)
    async with registered(store):
        after = own_entry(store)
    assert after.lease != before.lease
    assert after.version == before.version + 1


async def test_leaving_goes_in_steps_and_ends_with_the_key_deleted(
    store: LeasedStore, clock: MockClock
) -> None:
    async with registered(store) as registrar:
        seen: list[str] = []

        async def drain() -> None:
            seen.append(states(store)[-1])

        await registrar.withdraw(drain)
        assert seen == ["draining"]
        assert states(store) == ["serving", "draining", "withdrawn"]
        assert KEY not in store.entries
        assert not store.leases
        assert registrar.view.state == "withdrawn"
        await registrar.withdraw(drain)
        await trio.sleep(10 * TTL_S)
        assert seen == ["draining"], "leaving twice is leaving once"
        assert KEY not in store.entries, "a host that left came back"


async def test_leaving_with_a_lost_lease_still_says_so(
    store: LeasedStore, clock: MockClock
) -> None:
    """A key that only vanished would be taken for a death."""
    async with registered(store) as registrar:
        store.expire(own_entry(store).lease)
        await registrar.withdraw()
        assert states(store) == ["serving", "draining", "withdrawn"]


async def test_leaving_without_a_store_is_over_soon(store: LeasedStore, clock: MockClock) -> None:
    async with registered(store) as registrar:
        store.is_away = True
        began_s = trio.current_time()
        await registrar.withdraw()
        assert trio.current_time() - began_s <= LEAVE_WITHIN_S
        assert registrar.view.error


async def test_one_who_never_registered_leaves_without_a_word(store: LeasedStore) -> None:
    registrar = Registrar(store, RECORD, TTL_S)
    registrar.wait_for("its listeners are not in force in Envoy yet")
    assert registrar.view.state == "waiting"
    await registrar.withdraw()
    await registrar.run()
    assert not store.writes
