"""The node's status as plain JSON: what `meshd status`, the metrics and the status API show.

Pure: what only the daemon knows (Envoy's process, the store's connection, clocks) is passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.node.node import Node
from sidecar.xds.events import ResourceRejected, SessionState, SessionView
from sidecar.xds.resource import TypeUrl

__all__ = ["config_state", "kept_hosts", "mesh_counts", "quarantined", "refused_claims", "rejected"]

_BY_ENVOY = ("MESH0402", "MESH0404")
"""Codes of what Envoy found bad."""
_SHORT_TYPES = {
    TypeUrl.CLUSTER: "clusters",
    TypeUrl.ENDPOINTS: "endpoints",
    TypeUrl.SECRET: "secrets",
    TypeUrl.LISTENER: "listeners",
    TypeUrl.ROUTES: "route_configurations",
    TypeUrl.VIRTUAL_HOST: "virtual_hosts",
}


def config_state(node: Node, session: SessionView, *, is_held: bool) -> dict[str, Any]:
    """Which configuration has arrived, which is in force, and how far apart they are."""
    snapshot = node.catalog.snapshot
    mark = node.in_force
    if snapshot is None:
        state = "none"
    elif is_held:
        state = "held"
    elif session.state is SessionState.IN_FORCE:
        state = "in-force"
    elif session.state is SessionState.WARMING:
        state = "warming"
    elif session.state in (SessionState.DETACHED, SessionState.WAITING):
        state = "detached"
    else:
        state = "updating"
    return {
        "state": state,
        "source": node.source.value if node.source else "none",
        "epoch": str(snapshot.epoch) if snapshot is not None else "",
        "revision_received": snapshot.revision if snapshot is not None else 0,
        "epoch_in_force": str(mark.snapshot.epoch) if mark else "",
        "revision_in_force": mark.snapshot.revision if mark else 0,
        "hash": snapshot.hash if snapshot is not None else "",
        "hash_in_force": mark.snapshot.hash if mark else "",
        "refusal": node.catalog.refusal,
        "unchecked": node.catalog.unjudged,
    }


def quarantined(node: Node) -> list[dict[str, Any]]:
    """Every value that does not serve, with its reasons."""
    rows = []
    for row in node.catalog.quarantined:
        by_envoy = any(problem.code in _BY_ENVOY for problem in row.diagnostics)
        rows.append(
            {
                "object": str(row.ref or row.key),
                "key": row.key,
                "revision": row.revision,
                "generation": row.generation,
                "serving_revision": row.serving_revision,
                "by": "envoy" if by_envoy else "validation",
                "diagnostics": [
                    {
                        "code": problem.code,
                        "level": problem.level.value,
                        "path": problem.path,
                        "message": problem.message,
                        "hint": problem.hint,
                    }
                    for problem in row.diagnostics
                ],
            }
        )
    return rows


def rejected(rows: Iterable[ResourceRejected]) -> list[dict[str, Any]]:
    """Resources that Envoy refuses now, or cannot have, with the objects behind them."""
    return [
        {
            "type": row.type_url.rpartition(".")[2],
            "name": row.name,
            "detail": row.detail,
            "sources": sorted({str(source) for source in row.sources}),
        }
        for row in rows
    ]


def kept_hosts(node: Node, now_s: float) -> list[dict[str, Any]]:
    """Hosts that are in force although their registration ran out."""
    return [
        {
            "host": kept.host,
            "since_s": round(now_s - kept.since_s, 3),
            "for_s": None if kept.until_s is None else round(kept.until_s - now_s, 3),
            "reason": kept.reason,
        }
        for kept in node.registrations.kept().values()
    ]


def refused_claims(node: Node) -> list[dict[str, Any]]:
    """Workloads that do not serve since their hosts may not claim them."""
    return [
        {"host": claim.host, "workload": claim.workload, "reason": claim.reason}
        for claim in node.refused_claims
    ]


def mesh_counts(node: Node) -> Mapping[str, Any]:
    """Objects by kind, services in sight, how they are loaded, resources by type."""
    resources = node.builder.resources
    kinds = Counter(ref.kind.value for ref in node.catalog.objects)
    return {
        "objects": dict(sorted(kinds.items())),
        "hosts": len(node.registrations.registrations()),
        "services": max((view.service_count() for view in node.views.values()), default=0),
        "mode": "on-demand" if node.builder.on_demand else "eager",
        "resources": {
            name: len(resources.get(type_url, {})) for type_url, name in _SHORT_TYPES.items()
        },
        "unknown_hosts": node.builder.unknown_hosts,
        "unknown_hosts_refused": node.builder.refused_hosts,
    }
