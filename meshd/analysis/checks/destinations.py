"""Destinations of VirtualServices: does what a rule names exist, and may the rule's clients use it?

Judged as each client namespace of the rule sees the mesh (Istio's analyzers destinationhosts.go and
destinationrules.go, codes IST0101 and IST0112).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshd.analysis.world import World
from sidecar.mesh.facts import MESH_GATEWAY, VirtualServiceFacts
from sidecar.mesh.model import HostName, Service
from sidecar.mesh.names import wildcards_over
from sidecar.mesh.view import View
from store.diagnostics import Diagnostic, Path
from store.objects.destination import Destination
from store.objects.destination_rule import DestinationRule
from store.objects.virtual_service import HTTPRoute, VirtualService, VirtualServiceSpec

__all__ = ["Use", "check", "uses"]


@dataclass(frozen=True, slots=True)
class Use:
    """One destination that a VirtualService names."""

    facts: VirtualServiceFacts
    """The VirtualService."""
    path: Path
    """Place of the destination in it."""
    destination: Destination
    """The destination."""
    host: HostName
    """Its host in full."""


def uses(world: World) -> Iterator[Use]:
    """Every destination of every VirtualService."""
    for facts in world.facts(VirtualServiceFacts):
        spec = world.model(facts.ref, VirtualService).spec
        for path, destination in _destinations(spec):
            host = world.resolve(destination.host, facts.ref.namespace)
            yield Use(facts, path, destination, host)


def check(world: World) -> Iterator[Diagnostic]:
    """Destinations that requests cannot reach."""
    for use in uses(world):
        yield from _judged(world, use)


def _destinations(spec: VirtualServiceSpec) -> Iterator[tuple[Path, Destination]]:
    for index, rule in enumerate(spec.http):
        yield from _http_destinations(("spec", "http", index), rule)
    opaque = (
        ("tls", [rule.route for rule in spec.tls]),
        ("tcp", [rule.route for rule in spec.tcp]),
    )
    for name, rules in opaque:
        for index, routes in enumerate(rules):
            for number, route in enumerate(routes):
                yield ("spec", name, index, "route", number, "destination"), route.destination


def _http_destinations(at: Path, rule: HTTPRoute) -> Iterator[tuple[Path, Destination]]:
    for number, route in enumerate(rule.route):
        yield (*at, "route", number, "destination"), route.destination
    if rule.mirror is not None:
        yield (*at, "mirror"), rule.mirror
    for number, mirror in enumerate(rule.mirrors):
        yield (*at, "mirrors", number, "destination"), mirror.destination


def _judged(world: World, use: Use) -> Iterator[Diagnostic]:
    """Problems of one destination, for the first of the rule's client namespaces that has any."""
    exported = use.facts.export_to
    clients = (use.facts.ref.namespace,) if exported == ("*",) else exported
    for client in clients:
        if client == "~":
            continue
        view = world.view(client)
        service = view.destination(use.host)
        if service is None:
            found = list(_without_service(world, use, client))
        else:
            found = [*_of_port(world, use, view, service), *_of_subset(world, use, view)]
        yield from found
        if found:
            return


def _without_service(world: World, use: Use, client: str) -> Iterator[Diagnostic]:
    ref, at = use.facts.ref, (*use.path, "host")
    places = sorted(world.mesh.services.namespaces_of(use.host))
    meant = _meant_namespace(world, use)
    if places:
        message = (
            f"{use.host} exists in namespace {', '.join(places)}, but is not exported to {client}"
        )
        hint = f"add {client} to exportTo of the service"
        if client != ref.namespace:
            hint += f", or take {client} out of spec.exportTo here"
        yield world.problem("MESH0205", ref, at, message, hint)
    elif world.is_whole:
        yield world.problem(
            *("MESH0201", ref, at, f"nothing defines {use.host}: requests get 503"),
            _hint_for_host(world, use, meant),
        )
    elif meant:
        message = (
            f'"{use.destination.host}" means {use.host}, while the hosts of the rule are of '
            f"namespace {meant}"
        )
        hint = f"if {meant} is meant, write: {_in_namespace(world, use, meant)}"
        yield world.problem("MESH0206", ref, at, message, hint)
    view = world.view(client)
    if not places and view.rule(use.host).sources:
        yield from _of_subset(world, use, view)


def _hint_for_host(world: World, use: Use, meant: str) -> str:
    if meant:
        full = _in_namespace(world, use, meant)
        return f"a short name is completed with the namespace of the rule; did you mean {full}?"
    wider = [host for host in wildcards_over(use.host) if world.mesh.services.namespaces_of(host)]
    if wider:
        return f"{wider[0]} covers it, but a route needs the exact host of a service: add one to the ServiceEntry"
    near = world.did_you_mean(use.host, world.mesh.services.hosts())
    return near or "define it with a ServiceEntry, or register a workload under the name"


def _meant_namespace(world: World, use: Use) -> str:
    """The namespace that all hosts of the rule lie in, when a short destination does not mean that one."""
    if use.destination.host.lower() == use.host:
        return ""
    places = {_namespace_in(host, world.mesh.config.domain) for host in use.facts.hosts}
    place = places.pop() if len(places) == 1 else ""
    return "" if place == use.facts.ref.namespace else place


def _namespace_in(host: HostName, domain: str) -> str:
    head, _, _ = host.partition(f".svc.{domain}")
    return head.rpartition(".")[2] if head != host and "." in head else ""


def _in_namespace(world: World, use: Use, namespace: str) -> HostName:
    return world.resolve(use.destination.host, namespace)


def _of_port(world: World, use: Use, view: View, service: Service) -> Iterator[Diagnostic]:
    ref = use.facts.ref
    numbers = ", ".join(str(port.number) for port in service.ports) or "none"
    selector = use.destination.port
    if selector is not None and selector.number:
        if service.port(selector.number) is None:
            targets = [port for port in service.ports if port.target_port == selector.number]
            hint = f"its ports: {numbers}"
            if targets:
                hint = f"{selector.number} is the targetPort of port {targets[0].number}; {hint}"
            message = f"{service.host} has no port {selector.number}: requests get 503"
            yield world.problem("MESH0203", ref, (*use.path, "port", "number"), message, hint)
    elif not service.ports:
        message = f"{service.host} has no ports: requests get 503"
        hint = f"add ports to {service.source}"
        yield world.problem("MESH0203", ref, (*use.path, "host"), message, hint)
    elif len(service.ports) > 1 and not _comes_with_port(use, view, service):
        message = f"{service.host} has ports {numbers}, and the route names none of them"
        hint = "add port: {number: N}; without, the port that the request came for is used"
        yield world.problem("MESH0204", ref, use.path, message, hint, at_key=True)


def _comes_with_port(use: Use, view: View, service: Service) -> bool:
    """Whether requests come for ports that the service has: those of services that the rule's hosts name."""
    if use.facts.gateways != (MESH_GATEWAY,) or not use.facts.hosts:
        return False
    for host in use.facts.hosts:
        asked = view.destination(host)
        if asked is None or any(service.port(port.number) is None for port in asked.ports):
            return False
    return True


def _of_subset(world: World, use: Use, view: View) -> Iterator[Diagnostic]:
    subset = use.destination.subset
    if not subset:
        return
    rule = view.rule(use.host)
    if subset in rule.subsets or not (rule.sources or world.is_whole):
        return
    if _has_for_some(world, use, subset):
        return
    ref, at = use.facts.ref, (*use.path, "subset")
    if not rule.sources:
        message = f'no DestinationRule for {use.host} defines subset "{subset}": requests get 503'
        yield world.problem("MESH0202", ref, at, message, _subset_elsewhere(world, subset))
        return
    speaking = ", ".join(str(source.ref) for source in rule.sources)
    has = ", ".join(sorted(rule.subsets)) or "none"
    message = f'{speaking} defines no subset "{subset}" of {use.host}: requests get 503'
    near = world.did_you_mean(subset, iter(rule.subsets))
    yield world.problem(
        "MESH0202", ref, at, message, f"its subsets: {has}" + (near and f"; {near}")
    )


def _has_for_some(world: World, use: Use, subset: str) -> bool:
    """Whether a rule for chosen clients defines the subset: which clients the VirtualService is for is not asked."""
    specs = (
        world.model(facts.ref, DestinationRule).spec
        for facts in world.rules_for_some.get(use.host, ())
    )
    return any(one.name == subset for spec in specs for one in spec.subsets)


def _subset_elsewhere(world: World, subset: str) -> str:
    """Which rule for a host that nothing defines has the subset: most likely that one's host is wrong."""
    for facts in world.stray_rules:
        if any(one.name == subset for one in world.model(facts.ref, DestinationRule).spec.subsets):
            at = ("spec", "host")
            return (
                f"{world.named(facts.ref, at)} defines it for {facts.host}, which does not exist: "
                "is that the host that one of the two means?"
            )
    return "add a DestinationRule for the host with the subset and its labels"
