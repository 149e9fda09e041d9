"""What only Envoy's admin interface tells of endpoints: time-outs, failed connections, and its own ejections.

Asked for few clusters at a time, and only when load reports say that something fails (`outcomes`): the answer for 1,000
clusters of 10 endpoints has 12 MB. Source: Envoy administration interface, `/clusters`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.agent.envoy_admin import AdminClient
from sidecar.outlier.model import Place

__all__ = ["CLUSTERS_A_LOOK_MAX", "EndpointCounters", "Readings", "look", "readings"]

CLUSTERS_A_LOOK_MAX = 50
"""Clusters that one look asks for: some 500 endpoints, 10 ms of Envoy's time."""


@dataclass(frozen=True, slots=True)
class EndpointCounters:
    """One endpoint's counters since its host object was made, and whether Envoy's detector has it ejected."""

    timeouts: int = 0
    connect_failures: int = 0
    is_ejected: bool = False


Readings = Mapping[str, Mapping[Place, EndpointCounters]]
"""By cluster: its endpoints. A cluster that was asked for and is not there has none."""


async def look(admin: AdminClient, clusters: Iterable[str]) -> Readings:
    """Counters of these clusters, at most `CLUSTERS_A_LOOK_MAX` of them.

    Raises:
        AgentUnavailable: Envoy cannot be reached, or said something else.
    """
    wanted = sorted(clusters)[:CLUSTERS_A_LOOK_MAX]
    if not wanted:
        return {}
    pattern = f"^({'|'.join(re.escape(name) for name in wanted)})$"
    answer = await admin.clusters(pattern)
    return {name: {} for name in wanted} | readings(answer)


def readings(answer: Any) -> dict[str, Mapping[Place, EndpointCounters]]:
    """The answer of `/clusters?format=json` as values; endpoints without an address of their own are passed over."""
    return {
        cluster["name"]: dict(_endpoints(cluster)) for cluster in answer.get("cluster_statuses", ())
    }


def _endpoints(cluster: Any) -> Iterator[tuple[Place, EndpointCounters]]:
    for host in cluster.get("host_statuses", ()):
        place = _place(host.get("address", {}))
        if place is None:
            continue
        stats = {row.get("name"): int(row.get("value", 0)) for row in host.get("stats", ())}
        yield (
            place,
            EndpointCounters(
                timeouts=stats.get("rq_timeout", 0),
                connect_failures=stats.get("cx_connect_fail", 0),
                is_ejected=bool(host.get("health_status", {}).get("failed_outlier_check", False)),
            ),
        )


def _place(address: Any) -> Place | None:
    if "socket_address" in address:
        socket = address["socket_address"]
        return Place(socket.get("address", ""), int(socket.get("port_value", 0)))
    if "pipe" in address:
        return Place(address["pipe"].get("path", ""), 0)
    return None
