"""TLS originated on a port on which clients speak TLS themselves.

A DestinationRule with SIMPLE or MUTUAL on a port whose protocol is HTTPS or TLS wraps the clients' TLS into another
one. Where an `http` rule sends requests to the port they are plain when they come there, and all is well
(Istio's task "Egress TLS Origination" has both forms).
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.checks.destination_rules import services_of
from meshd.analysis.checks.destinations import uses
from meshd.analysis.world import World, path_of
from sidecar.mesh.facts import DestinationRuleFacts
from sidecar.mesh.model import HostName, Resolution, Service, ServicePort
from sidecar.routing.destinations import cluster_key
from store.diagnostics import Diagnostic
from store.objects.base import ObjectRef
from store.objects.destination_rule import ClientTLSMode

__all__ = ["check"]

_ORIGINATING = (ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL)


def check(world: World) -> Iterator[Diagnostic]:
    """One problem for each place of a rule that originates TLS, and port that it does so on."""
    plain = _reached_by_http(world)
    for facts in world.facts(DestinationRuleFacts):
        view = world.view(facts.ref.namespace)
        for service in services_of(world, facts):
            subsets = ("", *view.rule(service.host).subsets)
            for port in service.ports:
                if not port.protocol.is_tls or (service.host, port.number) in plain:
                    continue
                policies = (view.policy(service.host, port.number, subset) for subset in subsets)
                for path, mode in {
                    p.source.path: p.tls.mode
                    for p in policies
                    if p.source.ref == facts.ref and p.tls and p.tls.mode in _ORIGINATING
                }.items():
                    yield _problem(world, facts.ref, (path, str(mode)), service, port)


def _reached_by_http(world: World) -> set[tuple[HostName, int]]:
    """Hosts and ports that `http` rules send requests to."""
    found = set()
    for use in uses(world):
        if use.path[1] == "http":
            key = cluster_key(
                world.view(use.facts.ref.namespace), use.destination, use.facts.ref.namespace, 0
            )
            found.add((key.host, key.port))
    return found


def _problem(
    world: World, ref: ObjectRef, tls: tuple[str, str], service: Service, port: ServicePort
) -> Diagnostic:
    path, mode = tls
    message = (
        f"{mode} TLS is originated on port {port.number} of {service.host}, whose protocol is {port.protocol}: "
        "clients speak TLS themselves there, so the server gets TLS inside TLS"
    )
    source = service.source.ref
    where = "the registration of its workloads"
    if source is not None:
        where = world.named(source, ("spec", "ports"))
    hint = (
        f"let clients speak plain HTTP to it: in {where} write {_plain(service, port)}, and the sidecar adds the TLS;\n"
        "or, where clients bring their own TLS, remove tls here"
    )
    return world.problem("MESH0232", ref, (*path_of(path), "tls", "mode"), message, hint)


def _plain(service: Service, port: ServicePort) -> str:
    """What to write so that clients speak HTTP to the port, by its usual number where that is free."""
    fields = ["protocol: HTTP"]
    if port.number == 443 and service.port(80) is None:
        fields = ["number: 80", "protocol: HTTP", f"targetPort: {port.target_port or port.number}"]
    if service.resolution is Resolution.NONE:
        fields.append("resolution: DNS")
    return ", ".join(fields[:-1]) + (" and " if len(fields) > 1 else "") + fields[-1]
