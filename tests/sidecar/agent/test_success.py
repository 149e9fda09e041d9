"""Requests that succeed speak for a host whose registration ran out."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.success import LOOK_WITHIN_S, PERIOD_S, watch_successes
from store.errors import AgentUnavailable
from store.snapshot import Snapshot
from tests.harness.nodes import EPOCH, arrive, make_node, registration


class Admin(AdminClient):
    """Tells how many requests succeeded at `place`; each look takes the next count, the last one for ever."""

    def __init__(self, place: str, *counts: int | Exception | None) -> None:
        self._address, _, port = place.rpartition(":")
        self._port = int(port)
        self._counts = list(counts)
        self.looks = 0
        self.takes_s = 0.0

    async def clusters(self, pattern: str = "") -> Any:
        self.looks += 1
        count = self._counts[0] if len(self._counts) == 1 else self._counts.pop(0)
        await trio.sleep(self.takes_s)
        if count is None:
            await trio.sleep_forever()
        if isinstance(count, Exception):
            raise count
        host = {
            "address": {"socket_address": {"address": self._address, "port_value": self._port}},
            "stats": [
                {"name": "rq_total", "value": "99"},
                {"name": "rq_success", "value": str(count)},
            ],
        }
        nothing: dict[str, Any] = {"name": "empty"}
        return {
            "cluster_statuses": [nothing, {"name": "outbound|9080||r", "host_statuses": [host]}]
        }


async def spoken_for(admin: Admin, seconds: float, *, expired: bool = True) -> list[frozenset[str]]:
    """Who was spoken for while h1's registration, at 10.0.0.1:15006, had run out."""
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [registration(f"h{number}", 4) for number in range(1, 6)])
    arrive(node, first)
    if expired:
        arrive(node, first.apply((), ["hosts/h1"], 6))
    told: list[frozenset[str]] = []
    with trio.move_on_after(seconds):
        await watch_successes(admin, node, told.append)
    return told


@pytest.mark.parametrize(
    ("place", "counts", "told"),
    [
        ("10.0.0.1:15006", (3, 4), 1),
        ("10.0.0.1:15006", (3, 3), 0),
        ("10.0.0.1:15006", (3,), 0),
        ("10.0.0.2:15006", (3, 4), 0),
        ("10.0.0.1:15007", (3, 4), 0),
    ],
    ids=["grown", "idle", "first look", "another host", "another port"],
)
async def test_only_growth_at_its_own_address_speaks_for_a_host(
    autojump_clock: MockClock, place: str, counts: tuple[int, ...], told: int
) -> None:
    found = await spoken_for(Admin(place, *counts), 4 * PERIOD_S)
    assert found == [frozenset({"h1"})] * told


async def test_a_healthy_mesh_asks_envoy_nothing(autojump_clock: MockClock) -> None:
    admin = Admin("10.0.0.1:15006", 1)
    assert await spoken_for(admin, 100 * PERIOD_S, expired=False) == []
    assert admin.looks == 0


async def test_an_envoy_that_is_away_or_hangs_is_asked_again(autojump_clock: MockClock) -> None:
    admin = Admin("10.0.0.1:15006", AgentUnavailable("away"), 3, None, 4)
    found = await spoken_for(admin, 5 * PERIOD_S + LOOK_WITHIN_S * 21)
    assert found == [frozenset({"h1"})]


async def test_looking_takes_a_small_share_of_the_time(autojump_clock: MockClock) -> None:
    admin = Admin("10.0.0.1:15006", 3)
    admin.takes_s = 2.0
    await spoken_for(admin, 420.0)
    assert admin.looks <= 11
