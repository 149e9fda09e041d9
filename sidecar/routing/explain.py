"""Explain one request: listener, virtual host, routes passed over, route, destinations, endpoints.

Asks the table that serves (`build`, `gateways`, `match`) and the balancer, and adds nothing of its own but
words: what is printed is what Envoy was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sidecar.mesh.model import Provenance
from sidecar.mesh.names import normal
from sidecar.routing import wording
from sidecar.routing.authority import parse_authority
from sidecar.routing.build import outbound_virtual_host
from sidecar.routing.effects import redirected_to, redirected_to_https, sent_authority, sent_path
from sidecar.routing.explain_connection import CONNECTION_SCHEMES, explain_connection
from sidecar.routing.gateways import GatewayServer, gateway_servers
from sidecar.routing.match import Decision, Request, choose_virtual_host, match
from sidecar.routing.paths import normal_path
from sidecar.routing.sight import GatewaySight, Sight
from sidecar.routing.stops import Destinations, mirror_steps, split_steps
from sidecar.routing.table import DirectResponse, Forward, Redirect, Route, VirtualHost
from sidecar.routing.trace import (
    Note,
    Outcome,
    PassedOver,
    RequestStep,
    RouteStep,
    Setting,
    Trace,
    VirtualHostStep,
    origin,
)

__all__ = ["Destinations", "explain", "explain_at_gateway", "gateway_decision"]

_NOT_FOUND = 404
_MOVED = 301
_TLS_SCHEME = "https"


def explain(
    sight: Sight, request: Request, destinations: Destinations, listener: str = "outbound"
) -> Trace:
    """Trace a request, or a connection (`tcp://`, `tls://`), that leaves a workload through its sidecar.

    Args:
        sight: The mesh as the sending workload sees it.
        request: The request.
        destinations: Policies and endpoints, with health.
        listener: Where it enters, in words.
    """
    if request.scheme in CONNECTION_SCHEMES:
        return explain_connection(sight, request, destinations)
    host = outbound_virtual_host(sight, request.authority)
    rule = _rule_in_words(host, request.authority)
    decision = match(host, request)
    return _trace(sight, request, destinations, decision, (listener, rule))


def explain_at_gateway(
    sight: GatewaySight, request: Request, destinations: Destinations, port: int
) -> Trace:
    """Trace a request that reaches a gateway on a port."""
    request = replace(request, path=normal_path(request.path))
    servers = [server for server in gateway_servers(sight) if server.port == port]
    server = _server_for(servers, request)
    if server is None:
        has = ", ".join(sorted({f"{s.protocol} {s.port}" for s in gateway_servers(sight)}))
        said = f"no server of this gateway takes {request.scheme} for {request.authority} on port {port}"
        listener = f"{said} (it has {has or 'none'})"
        return Trace(_request(request), listener, Outcome.NO_ROUTE)
    listener = f"gateway {server.bind}:{port} {server.route_config}"
    host = choose_virtual_host(server.virtual_hosts, request.authority)
    if host is None:
        step = VirtualHostStep(
            "", "", "no host of the gateway fits", notes=_notes(server.passed_over)
        )
        return Trace(_request(request), listener, Outcome.NO_ROUTE, step, status=_NOT_FOUND)
    missed = (*host.passed_over, *server.passed_over)
    decision = match(host, request)
    rule = f"host of {', '.join(str(source) for source in server.sources)}"
    trace = _trace(sight, request, destinations, decision, (listener, rule))
    return _with_notes(trace, missed)


def gateway_decision(
    sight: GatewaySight, request: Request, port: int
) -> tuple[Request, Decision | None] | None:
    """What the table says of a request that reaches a gateway on a port.

    Returns:
        The request as the gateway reads it, and the decision (None: no virtual host takes it, 404). None where no
        server of the gateway takes the connection.
    """
    server = _server_for([one for one in gateway_servers(sight) if one.port == port], request)
    if server is None:
        return None
    read = replace(request, path=normal_path(request.path))
    host = choose_virtual_host(server.virtual_hosts, read.authority)
    return read, None if host is None else match(host, read)


def _server_for(servers: list[GatewayServer], request: Request) -> GatewayServer | None:
    """The server that takes a request: by scheme, and by server name where TLS is spoken."""
    secure = request.scheme == _TLS_SCHEME
    fitting = [server for server in servers if (server.tls is not None) == secure]
    name = normal(parse_authority(request.authority).host)
    by_name = {domain: server for server in fitting for domain in server.sni_hosts or ("*",)}
    if not by_name:
        return None
    suffixes = [name[index:] for index in range(len(name)) if name[index] == "."]
    for candidate in (name, *(f"*{suffix}" for suffix in suffixes), "*"):
        if candidate in by_name:
            return by_name[candidate]
    return None


def _with_notes(trace: Trace, missed: tuple[tuple[Provenance, str], ...]) -> Trace:
    if trace.virtual_host is None:
        return trace
    return replace(trace, virtual_host=replace(trace.virtual_host, notes=_notes(missed)))


def _rule_in_words(host: VirtualHost, authority: str) -> str:
    """How an authority led to its virtual host."""
    wanted = parse_authority(authority)
    name, _, port = host.name.rpartition(":")
    if not port.isdigit():
        if host.name in ("allow_any", "block_all"):
            return f"nothing answers to {authority}: the outbound traffic policy decides"
        return "no port named, and none can be guessed"
    if wanted.port is not None:
        how = f"port {port} as named"
    elif port == "80":
        how = "no port named: 80"
    else:
        how = f"no port named and no HTTP on 80: {port} is the only HTTP port"
    if name == normal(wanted.host):
        return how
    return f"{wanted.host} {'is under' if name.startswith('*') else 'means'} {name}; {how}"


def _request(request: Request) -> RequestStep:
    return RequestStep(
        request.method, request.scheme, request.authority, request.path, request.headers
    )


def _notes(pairs: tuple[tuple[Provenance, str], ...]) -> tuple[Note, ...]:
    return tuple(Note(origin(source), reason) for source, reason in dict.fromkeys(pairs))


def _trace(
    sight: Sight,
    request: Request,
    destinations: Destinations,
    decision: Decision,
    entry: tuple[str, str],
) -> Trace:
    """Put the steps of a decision together; `entry` is the listener and the virtual host's rule."""
    host, route = decision.virtual_host, decision.route
    base = Trace(
        request=_request(request),
        listener=entry[0],
        outcome=Outcome.NO_ROUTE,
        virtual_host=VirtualHostStep(
            name=host.name,
            domain=_fitting_domain(host, request.authority),
            rule=entry[1],
            origins=tuple(origin(source) for source in dict.fromkeys(host.sources)),
            notes=_notes(host.passed_over),
        ),
        passed_over=tuple(
            PassedOver(one.route.name, origin(one.route.source), one.reason)
            for one in decision.considered
        ),
        status=_NOT_FOUND,
        context=sight.context.name,
    )
    if decision.redirected_to_https:
        said = f"{redirected_to_https(request)} (httpsRedirect of the gateway's server)"
        return replace(base, outcome=Outcome.REDIRECT, status=_MOVED, answer=said)
    return base if route is None else _routed(sight, base, (request, route), destinations)


def _fitting_domain(host: VirtualHost, authority: str) -> str:
    """The domain of a virtual host that an authority chose."""
    each = {domain: replace(host, domains=(domain,)) for domain in host.domains}
    found = choose_virtual_host(each, authority)
    return found.domains[0] if found else ", ".join(host.domains[:1])


def _routed(
    sight: Sight, base: Trace, taken: tuple[Request, Route], destinations: Destinations
) -> Trace:
    """The trace with the route that takes the request and what it does."""
    request, route = taken
    settings = _settings(route, request)
    step = RouteStep(route.name, origin(route.source), wording.conditions(route.match), settings)
    match route.action:
        case Forward() as forward:
            return replace(
                base,
                outcome=Outcome.FORWARD,
                route=step,
                status=0,
                destinations=split_steps(sight, forward, destinations),
                mirrors=mirror_steps(sight, forward, destinations),
            )
        case Redirect() as redirect:
            said = redirected_to(redirect, route.match.path, request)
            return replace(
                base, outcome=Outcome.REDIRECT, route=step, status=redirect.code, answer=said
            )
        case DirectResponse() as response:
            return replace(
                base,
                outcome=Outcome.ANSWER,
                route=step,
                status=response.status,
                answer=response.body.decode(errors="replace").rstrip("\n"),
            )


def _settings(route: Route, request: Request) -> tuple[Setting, ...]:
    """All that happens to a request on this route besides the split."""
    said: list[tuple[str, str]] = []
    if route.fault is not None:
        said.append(("fault", wording.fault(route.fault)))
    if route.cors is not None:
        said.append(("cors", wording.cors(route.cors)))
    said += [("headers", edit) for edit in wording.edits(route.edits)]
    if isinstance(route.action, Forward):
        said += wording.settings(route.action)
        said += _sent_as(route, route.action, request)
    return tuple(Setting(name, value) for name, value in said)


def _sent_as(route: Route, forward: Forward, request: Request) -> Iterator[tuple[str, str]]:
    """The authority and path that go on where they are others; a split may send on a different authority each."""
    path = sent_path(forward.rewrite, route.match.path, request.path)
    targets = {sent_authority(forward, one, request.authority) for one in forward.clusters}
    authority = targets.pop() if len(targets) == 1 else request.authority
    if request.method != "CONNECT" and (path, authority) != (request.path, request.authority):
        yield "sent as", f"{authority}{path}"
