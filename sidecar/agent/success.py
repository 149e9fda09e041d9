"""Watches whether requests to hosts whose registration ran out still succeed: such hosts live.

Asks Envoy's `/clusters` only while such hosts are in force, so a healthy mesh pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio

from sidecar.agent.envoy_admin import AdminClient
from sidecar.node.node import Node
from store.errors import AgentUnavailable

__all__ = ["watch_successes"]

PERIOD_S = 5.0
"""How often Envoy's counters are read; far below the shortest sensible grace period."""
LOOK_SHARE = 20
"""Looking takes at most one part in so many of the time: an Envoy of thousands of clusters has much to say."""
LOOK_WITHIN_S = 10.0
"""How long one look may take; an Envoy that hangs says nothing."""


async def watch_successes(
    admin: AdminClient, node: Node, tell: Callable[[frozenset[str]], None]
) -> None:
    """Tell which kept hosts answered requests since the last look; runs until cancelled."""
    before: Mapping[tuple[str, str], int] = {}
    pause_s = PERIOD_S
    while True:
        await trio.sleep(pause_s)
        kept = node.registrations.kept()
        if not kept:
            before, pause_s = {}, PERIOD_S
            continue
        began_s = trio.current_time()
        counts = await _look(admin)
        pause_s = max(PERIOD_S, (trio.current_time() - began_s) * LOOK_SHARE)
        if counts is None:
            continue
        grown = {place[1] for place, count in counts.items() if count > before.get(place, count)}
        before = counts
        hosts = frozenset(host for host in kept if _addresses(node, host) & grown)
        if hosts:
            tell(hosts)


async def _look(admin: AdminClient) -> Mapping[tuple[str, str], int] | None:
    """Successes so far; None when Envoy does not say."""
    try:
        with trio.move_on_after(LOOK_WITHIN_S):
            return _successes(await admin.clusters())
    except AgentUnavailable:
        pass
    return None


def _successes(clusters: Any) -> dict[tuple[str, str], int]:
    """(cluster, `address:port`) to requests that succeeded, from `/clusters?format=json`."""
    found: dict[tuple[str, str], int] = {}
    for cluster in clusters.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            socket = host.get("address", {}).get("socket_address", {})
            place = f"{socket.get('address')}:{socket.get('port_value')}"
            for stat in host.get("stats", ()):
                if stat.get("name") == "rq_success":
                    found[cluster["name"], place] = int(stat.get("value", 0))
    return found


def _addresses(node: Node, host: str) -> set[str]:
    registration = node.registrations.registrations().get(host)
    if registration is None:
        return set()
    return {
        f"{workload.address or registration.address}:{port.target_port or port.number}"
        for workload in registration.workloads
        for port in workload.ports
    }
