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


async def watch_successes(
    admin: AdminClient, node: Node, tell: Callable[[frozenset[str]], None]
) -> None:
    """Tell which kept hosts answered requests since the last look; runs until cancelled."""
    before: Mapping[tuple[str, str], int] = {}
    while True:
        await trio.sleep(PERIOD_S)
        kept = node.registrations.kept()
        if not kept:
            before = {}
            continue
        try:
            counts = _successes(await admin.clusters())
        except AgentUnavailable:
            continue
        grown = {place[1] for place, count in counts.items() if count > before.get(place, count)}
        before = counts
        hosts = frozenset(host for host in kept if _addresses(node, host) & grown)
        if hosts:
            tell(hosts)


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
