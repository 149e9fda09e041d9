"""What the routing table says that Envoy will do with a request: every way that may be taken, and what each shows.

Read from the same values that `meshd trace` prints. Only chance leaves more than one way: weights, shares of
faults, which endpoint of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sidecar.balancing.balancer import Balancer
from sidecar.mesh.model import Health, Resolution
from sidecar.mesh.view import View
from sidecar.routing.build import http_listeners, outbound_virtual_host
from sidecar.routing.effects import (
    Fields,
    redirected_to,
    redirected_to_https,
    request_fields,
    response_fields,
    sent_authority,
    sent_path,
)
from sidecar.routing.explain import explain, explain_at_gateway, gateway_decision
from sidecar.routing.match import Decision, Request, allows_origin, choose_virtual_host, match
from sidecar.routing.table import (
    Cluster,
    ClusterKey,
    CorsPolicy,
    DirectResponse,
    Forward,
    Redirect,
    Route,
    WeightedCluster,
)
from sidecar.routing.trace import Trace
from tests.harness.differential.applications import SAYS
from tests.sidecar.routing.samples import Ask
from tests.sidecar.routing.strategies import EDGE, SENDER, Entry

__all__ = ["Expected", "Gone", "Reply", "expected"]

ALL = 1_000_000


@dataclass(frozen=True)
class Reply:
    """Envoy answers by itself."""

    status: int
    """0: any."""
    body: bytes | None = None
    """None: whatever Envoy writes."""
    fields: Fields | None = None
    """Fields that it has; None: not looked at."""
    why: str = ""


@dataclass(frozen=True)
class Gone:
    """The request goes on to an application."""

    cluster: str
    ports: frozenset[int]
    """Where it may arrive."""
    path: str
    authority: str
    fields: Fields
    """Fields of the request, besides what Envoy adds."""
    status: int
    attempts: int
    answer: Fields
    """Fields of the answer, besides what Envoy adds."""
    timeout_ms: int | None
    """Time that the application is told; None where there is no limit."""


@dataclass(frozen=True)
class Copy:
    """A copy of the request."""

    cluster: str
    ports: frozenset[int]
    is_certain: bool


@dataclass(frozen=True)
class Expected:
    """All that the table says of one request."""

    ways: tuple[Reply | Gone, ...]
    copies: tuple[Copy, ...]
    """Copies of a request that goes on."""
    trace: Trace | None
    route: str
    """Where the route comes from, for people."""


@dataclass(frozen=True)
class _Asked:
    """One request being looked at."""

    view: View
    balancer: Balancer
    request: Request
    """As Envoy reads it."""
    open_ports: frozenset[int]
    """Ports of applications."""


def expected(
    views: Mapping[str, View], ask: Ask, request: Request, port: int, open_ports: frozenset[int]
) -> Expected:
    """What the table says of a request that enters at a port.

    Args:
        views: What the sender and the gateway see.
        ask: Where it is sent.
        request: The request with open ports.
        port: Port of the entry.
        open_ports: Where applications listen.
    """
    view = views[SENDER if ask.entry in (Entry.OUTBOUND, Entry.EGRESS, Entry.PROXY) else EDGE]
    balancer = Balancer(view)
    trace: Trace | None = None
    decision: Decision | None
    if ask.entry is Entry.OUTBOUND:
        trace = explain(view, request, balancer)
        decision = match(outbound_virtual_host(view, request.authority), request)
    elif view.context.name == EDGE:
        trace = explain_at_gateway(view, request, balancer, port)
        found = gateway_decision(view, request, port)
        if found is None:
            return Expected((Reply(0, why="no listener"),), (), trace, "no listener")
        request, decision = found
    else:
        listener = next((one for one in http_listeners(view) if one.port == port), None)
        if listener is None:
            return Expected((Reply(0, why="no listener"),), (), None, "no listener")
        host = choose_virtual_host(listener.virtual_hosts, request.authority)
        decision = match(host, request) if host else None
    asked = _Asked(view, balancer, request, open_ports)
    if decision is None:
        return Expected((Reply(404, b"", ()),), (), trace, "no virtual host")
    return _decided(asked, decision, trace)


def _decided(asked: _Asked, decision: Decision, trace: Trace | None) -> Expected:
    if decision.redirected_to_https:
        location = redirected_to_https(asked.request)
        return Expected((Reply(301, b"", (("location", location),)),), (), trace, "https only")
    route = decision.route
    if route is None:
        return Expected((Reply(404, b"", ()),), (), trace, f"none of {decision.virtual_host.name}")
    ways = tuple(_ways(asked, route))
    action = route.action
    mirrors = action.mirrors if isinstance(action, Forward) else ()
    copies = tuple(
        Copy(m.cluster.name, ports, m.parts_per_million >= ALL)
        for m in mirrors
        if (ports := _ports(asked, m.cluster, asked.request.authority))
    )
    return Expected(
        ways, copies, trace, f"{decision.virtual_host.name} {route.source} {route.name}"
    )


def _ways(asked: _Asked, route: Route) -> Iterator[Reply | Gone]:
    """Every way: filters in their order (CORS, fault), then the route's action."""
    preflight = _preflight(asked.request, route.cors)
    if preflight is not None:
        yield preflight
        return
    fault = route.fault
    if fault is not None and fault.abort_ppm:
        abort = _abort(fault.abort_status, fault.abort_grpc_status)
        if not isinstance(route.action, Forward):
            yield replace(abort, fields=())  # edits of such a route are for its own answer
        else:
            for target in route.action.clusters:
                edited = response_fields(route, target, ())
                yield replace(abort, fields=_of_cors(asked, route, edited))
        if fault.abort_ppm >= ALL:
            return
    for way in _of_action(asked, route):
        if isinstance(way, Gone):
            yield replace(way, answer=_of_cors(asked, route, way.answer))
        elif way.fields is not None:
            yield replace(way, fields=_of_cors(asked, route, way.fields))
        else:
            yield way


def _abort(status: int, grpc_status: int | None) -> Reply:
    """A request that is not gRPC gets 200 with a gRPC status, since Envoy knows no HTTP status for it (measured)."""
    return Reply(status if grpc_status is None else 200, b"fault filter abort", why="fault")


# CORS


def _origin(request: Request) -> str:
    return next(iter(request.values("origin")), "")


def _is_allowed(request: Request, cors: CorsPolicy | None) -> bool:
    origin = _origin(request)
    return cors is not None and bool(origin) and allows_origin(cors, origin)


def _preflight(request: Request, cors: CorsPolicy | None) -> Reply | None:
    """Envoy's own answer to a preflight."""
    if cors is None or request.method != "OPTIONS" or not _origin(request):
        return None
    if not request.values("access-control-request-method"):
        return None
    is_allowed = _is_allowed(request, cors)
    if not is_allowed and cors.forward_unmatched_preflights:
        return None
    said = {
        "access-control-allow-origin": _origin(request) if is_allowed else "",
        "access-control-allow-methods": ",".join(cors.allow_methods),
        "access-control-allow-headers": ",".join(cors.allow_headers),
        "access-control-max-age": "" if cors.max_age_s is None else str(cors.max_age_s),
        "access-control-allow-credentials": "true" if cors.allow_credentials else "",
        "access-control-expose-headers": ",".join(cors.expose_headers) if is_allowed else "",
    }
    return Reply(200, b"", tuple((k, v) for k, v in said.items() if v), why="preflight")


def _of_cors(asked: _Asked, route: Route, fields: Fields) -> Fields:
    """Fields of an answer with those of the CORS policy."""
    cors = route.cors
    if cors is None or not _is_allowed(asked.request, cors):
        return fields
    said = {
        "access-control-allow-origin": _origin(asked.request),
        "access-control-allow-credentials": "true" if cors.allow_credentials else "",
        "access-control-expose-headers": ",".join(cors.expose_headers),
    }
    return (*fields, *((k, v) for k, v in said.items() if v))


# Actions


def _of_action(asked: _Asked, route: Route) -> Iterator[Reply | Gone]:
    match route.action:
        case Redirect() as redirect:
            location = redirected_to(redirect, route.match.path, asked.request)
            fields = response_fields(route, None, (("location", location),))
            yield Reply(redirect.code, b"", fields)
        case DirectResponse() as said:
            yield Reply(said.status, said.body, response_fields(route, None, ()))
        case Forward() as forward:
            for target in forward.clusters:
                yield from _forwarded(asked, route, forward, target)


def _forwarded(
    asked: _Asked, route: Route, forward: Forward, target: WeightedCluster
) -> Iterator[Reply | Gone]:
    request = asked.request
    authority = sent_authority(forward, target, request.authority)
    ports = _ports(asked, target.cluster, authority)
    if ports is None:
        yield Reply(0, why="an address outside")
        return
    if not ports:
        yield Reply(503, fields=response_fields(route, target, ()), why="no endpoint")
        return
    fields = request_fields(
        route, target, tuple((name.lower(), value) for name, value in request.headers)
    )
    status = int(next((value for name, value in fields if name == "x-want"), "200"))
    answer = tuple((name.lower(), value) for name, value in SAYS)
    yield Gone(
        _name(target),
        ports,
        sent_path(forward.rewrite, route.match.path, request.path),
        authority,
        fields,
        status,
        1 + _retries(forward, status),
        response_fields(route, target, answer),
        round(min(_limits(forward)) * 1000) if _limits(forward) else None,
    )


def _limits(forward: Forward) -> list[float]:
    each = forward.retry.per_try_timeout_s if forward.retry else None
    return [limit for limit in (forward.timeout_s, each) if limit]


def _retries(forward: Forward, status: int) -> int:
    retry = forward.retry
    if retry is None:
        return 0
    is_wanted = {
        "5xx": status >= 500,
        "gateway-error": status in (502, 503, 504),
        "retriable-4xx": status == 409,
        "retriable-status-codes": status in retry.status_codes,
    }
    return retry.attempts if any(is_wanted.get(word, False) for word in retry.retry_on) else 0


def _name(target: WeightedCluster) -> str:
    return target.cluster.value if isinstance(target.cluster, Cluster) else target.cluster.name


def _ports(asked: _Asked, cluster: object, authority: str) -> frozenset[int] | None:
    """Ports where a request to a cluster may arrive; empty for none (503), None for where nobody of ours listens."""
    if isinstance(cluster, Cluster):
        return frozenset() if cluster is Cluster.BLACK_HOLE else _named(asked, authority)
    assert isinstance(cluster, ClusterKey)
    plan = asked.balancer.plan(cluster)
    if plan is None:
        return frozenset()
    if plan.resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS):
        return _named(asked, authority)
    endpoints = asked.balancer.endpoints(cluster).endpoints
    return frozenset(one.port for one in endpoints if one.health is Health.HEALTHY)


def _named(asked: _Asked, authority: str) -> frozenset[int] | None:
    """The application at the port that an authority names, where its name leads to this machine."""
    name, _, digits = authority.lower().rpartition(":")
    is_here = name in ("127.0.0.1", "localhost") or name.endswith(".localhost")
    port = int(digits) if digits.isdigit() else 80
    return frozenset({port}) if is_here and port in asked.open_ports else None
