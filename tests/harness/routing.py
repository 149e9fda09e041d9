"""Drives the routing table from transcripts: objects in, requests asked, decisions out.

service reviews ports=http:9080,mysql:3306       a ServiceEntry in short
VirtualService reviews namespace=default         an object: its spec as YAML below
delete VirtualService reviews
workload namespace=default labels=app:web        who sends (gateway=true: a gateway with those labels)
GET http://reviews/x                             one request, headers below; at a gateway with port=8080
trace GET http://reviews/x                       the same as `meshd trace` shows it
host reviews:9080                                the virtual host that answers an authority
hosts                                            every virtual host with its domains
servers / listeners                              what a gateway or a Sidecar opens
captured                                         where captured connections go, by address and port
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import yaml

from meshd.tracing import render_trace
from sidecar.balancing.balancer import Balancer
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from sidecar.routing import wording
from sidecar.routing.build import (
    gateway_servers,
    http_listeners,
    outbound_virtual_host,
    outbound_virtual_hosts,
    tcp_listeners,
)
from sidecar.routing.capture import captured_ports
from sidecar.routing.explain import explain, explain_at_gateway
from sidecar.routing.match import Request
from sidecar.routing.originals import unclaimed
from sidecar.routing.table import (
    Cluster,
    ClusterKey,
    DirectResponse,
    Forward,
    InboundKey,
    Redirect,
    Route,
    TcpRoute,
    VirtualHost,
    WeightedCluster,
)
from sidecar.routing.trace import DestinationStep, Outcome, Trace, from_json, to_json
from store.objects.base import ObjectRef
from store.objects.kinds import KINDS, Kind
from tests.harness.catalogs import Store
from tests.harness.transcripts import Command

__all__ = ["RoutingDriver", "object_of", "request_of", "service_of", "view_of"]

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT")


def object_of(kind: str, name: str, spec: object, namespace: str = "default") -> dict[str, object]:
    """A document of one kind."""
    versions = KINDS[Kind(kind)].api_versions
    metadata = {"name": name} if kind == "MeshConfig" else {"name": name, "namespace": namespace}
    return {"apiVersion": versions[0], "kind": kind, "metadata": metadata, "spec": spec}


def service_of(
    host: str, ports: str = "http:80", namespace: str = "default", **more: object
) -> dict[str, object]:
    """A ServiceEntry with one endpoint for each address; ports as `protocol:number,...`."""
    declared = []
    for port in ports.split(","):
        protocol, _, number = port.partition(":")
        declared.append(
            {"number": int(number), "name": f"{protocol}-{number}", "protocol": protocol.upper()}
        )
    spec: dict[str, object] = {
        "hosts": [host],
        "ports": declared,
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        **more,
    }
    return object_of("ServiceEntry", host.replace("*", "any"), spec, namespace)


def view_of(store: Store, context: Context | None = None) -> View:
    """The mesh of a store as a workload of namespace default (or another) sees it."""
    mesh = Mesh.build(store.catalog, store.registrations)
    return View(mesh, context or Context("", "default"))


def request_of(method: str, url: str, header_lines: Sequence[str] = ()) -> Request:
    """A request for a URL, or for an authority with CONNECT."""
    headers = tuple((name, value) for name, _, value in (h.partition(": ") for h in header_lines))
    if method == "CONNECT":
        return Request(method, "http", url, "", headers)
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Request(method, parts.scheme, parts.netloc, path, headers)


class RoutingDriver:
    """The state of one transcript: a store and a workload."""

    def __init__(self) -> None:
        self.store = Store()
        self.context = Context("", "default")

    def run(self, command: Command) -> str:
        """Run one command."""
        return "\n".join(self._lines(command))

    def _lines(self, command: Command) -> Iterator[str]:
        verb = command.verb
        if verb in METHODS:
            yield from decision_lines(self._trace(verb, command))
        elif verb == "trace":
            trace = self._trace(command.words[0], command)
            assert from_json(to_json(trace)) == trace, "a trace goes through JSON unharmed"
            yield render_trace(trace, wide=command.option("wide") == "true")
        elif verb == "host":
            yield from host_lines(outbound_virtual_host(self._view(), command.words[0]))
        elif verb == "hosts":
            for host in outbound_virtual_hosts(self._view()):
                yield f"{host.name}: {' '.join(host.domains)}"
        elif verb == "captured":
            yield from self._captured()
        elif verb in ("servers", "listeners"):
            yield from self._servers() if verb == "servers" else self._listeners()
        else:
            yield self._change(command)

    def _change(self, command: Command) -> str:
        namespace = command.option("namespace", "default")
        match command.verb:
            case "workload":
                pairs = [pair.split(":") for pair in command.option("labels").split(",") if pair]
                is_gateway = command.option("gateway") == "true"
                is_captured = command.option("captured") == "true"
                self.context = Context(
                    "", namespace, dict(pairs), is_gateway=is_gateway, is_captured=is_captured
                )
            case "service":
                more: dict[str, object] = dict(yaml.safe_load("\n".join(command.lines)) or {})
                if command.option("external") == "true":
                    more["location"] = "MESH_EXTERNAL"
                ports = command.option("ports", "http:80")
                self.store.put([service_of(command.words[0], ports, namespace, **more)])
            case "delete":
                self.store.delete(ObjectRef(Kind(command.words[0]), namespace, command.words[1]))
            case _:
                spec = yaml.safe_load("\n".join(command.lines))
                self.store.put([object_of(command.verb, command.words[0], spec, namespace)])
        return "ok"

    def _view(self) -> View:
        return view_of(self.store, self.context)

    def _trace(self, method: str, command: Command) -> Trace:
        # A URL with a query looks like an option to the runner of transcripts.
        with_query = (f"{key}={value}" for key, value in command.options.items() if "://" in key)
        url = next(with_query, command.words[-1] if command.words else "")
        view, request = self._view(), request_of(method, url, command.lines)
        if self.context.is_gateway:
            return explain_at_gateway(view, request, Balancer(view), command.number("port", 80))
        return explain(view, request, Balancer(view))

    def _servers(self) -> Iterator[str]:
        for server in gateway_servers(self._view()):
            names = " ".join(server.sni_hosts)
            mode = server.tls.mode.value if server.tls and server.tls.mode else "plain"
            yield f"{server.bind}:{server.port} {mode} {server.route_config} {names}".rstrip()
            for host in server.virtual_hosts:
                yield from (f"  {line}" for line in host_lines(host))
            yield from (f"  {tcp_line(route)}" for route in server.tcp_routes)
            yield from (f"  note: {at}: {reason}" for at, reason in server.passed_over)

    def _captured(self) -> Iterator[str]:
        view = self._view()
        for found in captured_ports(view):
            yield f"{' '.join((found.place.address or 'any', *found.also))}:{found.place.port}"
            for ranges in found.http:
                yield f"  HTTP by host{' in ' + ' '.join(ranges) if ranges else ''}"
            yield from (f"  {tcp_line(route)}" for route in found.routes)
            yield from (f"  note: {at}: {reason}" for at, reason in found.passed_over)
        yield f"the rest: {tcp_line(unclaimed(view))}"

    def _listeners(self) -> Iterator[str]:
        view = self._view()
        for http in http_listeners(view):
            yield f"{http.bind}:{http.port} HTTP {http.route_config} by {http.source}"
            for host in http.virtual_hosts:
                yield f"  {host.name}: {' '.join(host.domains)}"
        for tcp in tcp_listeners(view):
            yield f"{tcp.bind}:{tcp.port} TCP by {tcp.source}"
            yield from (f"  {tcp_line(route)}" for route in tcp.routes)
            yield from (f"  note: {at}: {reason}" for at, reason in tcp.passed_over)


def decision_lines(trace: Trace) -> Iterator[str]:
    """A trace in short: where it goes, and why not elsewhere."""
    if trace.virtual_host is None:
        yield trace.listener
        return
    yield f"{trace.virtual_host.name} ({trace.virtual_host.rule})"
    for one in trace.passed_over:
        yield f"  not {one.origin.path or one.route}: {one.reason}"
    if trace.route is not None:
        yield f"  {trace.route.origin}"
    match trace.outcome:
        case Outcome.FORWARD:
            yield from (f"  {share(step)}" for step in trace.destinations)
            yield from (f"  copy {share(step)}" for step in trace.mirrors)
        case _:
            yield f"  {trace.outcome} {trace.status} {trace.answer}".rstrip()


def share(step: DestinationStep) -> str:
    return f"{step.percent:g} % {step.cluster}"


def host_lines(host: VirtualHost) -> Iterator[str]:
    """A virtual host with all that its routes say."""
    tls = " https only" if host.require_tls else ""
    yield f"{host.name}: {' '.join(host.domains)}{tls}"
    for route in host.routes:
        yield from (f"  {line}" for line in route_lines(route))
    for source, reason in host.passed_over:
        yield f"  note: {source}: {reason}"


def route_lines(route: Route) -> Iterator[str]:
    name = f'"{route.name}" ' if route.name else ""
    yield f"{name}{'; '.join(wording.conditions(route.match))} [{route.source.path}]"
    if route.fault:
        yield f"  fault: {wording.fault(route.fault)}"
    if route.cors:
        yield f"  cors: {wording.cors(route.cors)}"
    yield from (f"  {edit}" for edit in wording.edits(route.edits))
    match route.action:
        case Forward() as forward:
            yield from (f"  to {cluster_line(cluster)}" for cluster in forward.clusters)
            for mirror in forward.mirrors:
                yield f"  copy {wording.mirror_share(mirror)} to {mirror.cluster.name}"
            usual = {("timeout", "none"), ("retries", USUAL_RETRIES)}
            said = [one for one in wording.settings(forward) if one not in usual]
            yield from (f"  {name}: {value}" for name, value in said)
        case Redirect() as redirect:
            yield f"  redirect {redirect.code} to {wording.redirect(redirect)}"
        case DirectResponse() as answer:
            yield f"  answer {answer.status} {answer.body.decode().strip()}".rstrip()


USUAL_RETRIES = (
    "2 on connect-failure, refused-stream, unavailable, cancelled, retriable-status-codes; "
    "on another endpoint"
)


def cluster_line(target: WeightedCluster) -> str:
    match target.cluster:
        case ClusterKey() | InboundKey() as key:
            name = key.name
        case Cluster() as special:
            name = special.value
    edits = "; ".join(wording.edits(target.edits))
    words = [f"{target.weight} {name}", edits, f"as {target.authority}" if target.authority else ""]
    return ", ".join(word for word in words if word)


def tcp_line(route: TcpRoute) -> str:
    names = " ".join((*route.sni_hosts, *route.destination_subnets)) or "any"
    targets = ", ".join(cluster_line(cluster) for cluster in route.clusters)
    flow = "".join(f"; {word}" for word in wording.flow(route.flow))
    return f"{names} -> {targets}{flow} [{route.source}]"
