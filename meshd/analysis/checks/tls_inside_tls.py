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
        port = use.destination.port
        if use.path[1] == "http" and port is not None and port.number:
            found.add((use.host, port.number))
    return found


def _problem(
    world: World, ref: ObjectRef, tls: tuple[str, str], service: Service, port: ServicePort
) -> Diagnostic:
    path, mode = tls
    source = service.source.ref
    message = (
        f"{mode} TLS is originated on port {port.number} of {service.host}, whose protocol is {port.protocol}: "
        "clients speak TLS themselves there, so the server gets TLS inside TLS"
    )
    where, at = "the registration of its workloads", ""
    if source is not None:
        where = world.named(source, ("spec", "ports"))
        at = " and targetPort: 443" if port.number == 443 else ""
    new = "number: 80, protocol: HTTP" if port.number == 443 else "protocol: HTTP"
    static = " and resolution: DNS" if service.resolution is Resolution.NONE else ""
    hint = (
        f"let clients speak plain HTTP to it: in {where} write {new}{at}{static}, and the sidecar adds the TLS;\n"
        "or, where clients bring their own TLS, remove tls here"
    )
    return world.problem("MESH0232", ref, (*path_of(path), "tls", "mode"), message, hint)
