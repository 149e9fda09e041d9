"""Answers `trace` and `endpoints` of the status API from the node's own table and balancer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.balancing.balancer import Balancer
from sidecar.mesh.model import HostName
from sidecar.mesh.view import View
from sidecar.node.node import Node
from sidecar.routing.asking import request_asked
from sidecar.routing.explain import explain, explain_at_gateway
from sidecar.routing.table import ClusterKey
from sidecar.routing.trace import to_json
from store.errors import InputError, NotFoundError, StoreUnavailable

__all__ = ["endpoints_answer", "trace_answer"]


def trace_answer(node: Node, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
    """Where a request would go.

    Args:
        node: The node.
        query: `method`, `url`, `header` (repeated, `name:value`), `context`, `gateway_port`.

    Raises:
        InputError: The query makes no request.
        NotFoundError: There is no such context.
        StoreUnavailable: There is no configuration yet.
    """
    view = _view(node, _last(query, "context"))
    request = request_asked(_last(query, "method"), _last(query, "url"), query.get("header", []))
    port = _last(query, "gateway_port")
    if port:
        if not port.isdigit():
            raise InputError(f'?gateway_port= must be a number, found "{port}"')
        trace = explain_at_gateway(view, request, Balancer(view), int(port))
    else:
        trace = explain(view, request, Balancer(view))
    snapshot = node.catalog.snapshot
    label = f"{snapshot.epoch}@{snapshot.revision}" if snapshot is not None else ""
    return to_json(replace(trace, context=view.context.name, label=label))


def endpoints_answer(node: Node, host: str) -> Mapping[str, Any]:
    """Every destination of `host` that Envoy has, with its endpoints.

    Raises:
        NotFoundError: No service of that name is in sight.
    """
    rows = []
    for name, view in node.views.items():
        service = view.service_for_authority(host.lower())
        if service is None:
            continue
        balancer = Balancer(view)
        for port in service.ports:
            found = balancer.endpoints(ClusterKey(HostName(service.host), port.number))
            rows.append(
                {
                    "context": name,
                    "host": service.host,
                    "port": port.number,
                    "protocol": port.protocol.value,
                    "endpoints": [
                        {
                            "address": endpoint.address,
                            "port": endpoint.port,
                            "health": endpoint.health.value,
                            "weight": endpoint.weight,
                            "locality": str(endpoint.locality),
                            "labels": dict(endpoint.labels),
                            "source": str(endpoint.source),
                        }
                        for endpoint in found.endpoints
                    ],
                }
            )
    if not rows:
        raise NotFoundError(f'no service "{host}" is in sight of this sidecar')
    return {"destinations": rows}


def _view(node: Node, context: str) -> View:
    if not node.views:
        raise StoreUnavailable("this sidecar has no configuration yet", hint="see `meshd status`")
    if not context and len(node.views) == 1:
        return next(iter(node.views.values()))
    if context not in node.views:
        known = ", ".join(sorted(node.views))
        raise NotFoundError(
            f'there is no context "{context}" on this host', hint=f"There are: {known}"
        )
    return node.views[context]


def _last(query: Mapping[str, list[str]], name: str) -> str:
    return query.get(name, [""])[-1]
