"""DestinationRules beside the services that they are for: unknown hosts, empty subsets, ports that do not exist.

After Istio's analyzers destinationrule (IST0174) and subset (IST0173).
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World
from sidecar.mesh.facts import DestinationRuleFacts
from sidecar.mesh.labels import includes
from sidecar.mesh.model import Resolution, Service
from sidecar.mesh.names import is_wildcard, subset_of
from sidecar.mesh.view import View
from store.diagnostics import Diagnostic, Path
from store.objects.destination_rule import DestinationRule, DestinationRuleSpec, TrafficPolicy

__all__ = ["check", "services_of"]

_WITHOUT_ENDPOINTS = frozenset((Resolution.NONE, Resolution.DYNAMIC_DNS))


def services_of(world: World, facts: DestinationRuleFacts) -> list[Service]:
    """The services that a rule is for, as clients of its namespace see them."""
    view = world.view(facts.ref.namespace)
    if not is_wildcard(facts.host):
        found = view.destination(facts.host)
        return [found] if found is not None else []
    hosts = sorted(h for h in world.mesh.services.hosts() if subset_of(h, facts.host))
    services = (view.destination(host) for host in hosts)
    return [service for service in services if service is not None]


def check(world: World) -> Iterator[Diagnostic]:
    """Rules, subsets and port settings that nothing comes under."""
    if world.is_whole:
        for facts in world.stray_rules:
            what = "a host of" if is_wildcard(facts.host) else "the host"
            message = f"no service has {what} {facts.host}, so the rule has no effect"
            near = ""
            if not is_wildcard(facts.host):
                near = world.did_you_mean(facts.host, world.mesh.services.hosts())
            hint = near or "name the host of a ServiceEntry or of registered workloads"
            yield world.problem("MESH0230", facts.ref, ("spec", "host"), message, hint)
    for facts in world.facts(DestinationRuleFacts):
        services = services_of(world, facts)
        if not services:
            continue
        spec = world.model(facts.ref, DestinationRule).spec
        if world.is_whole:
            yield from _empty_subsets(world, facts, spec, services)
        yield from _unknown_ports(world, facts, spec, services)


def _empty_subsets(
    world: World, facts: DestinationRuleFacts, spec: DestinationRuleSpec, services: list[Service]
) -> Iterator[Diagnostic]:
    view = world.view(facts.ref.namespace)
    found_by_view = [s for s in services if s.resolution not in _WITHOUT_ENDPOINTS]
    if not found_by_view:
        return
    labels = [one for service in found_by_view for one in _labels(view, service)]
    for index, subset in enumerate(spec.subsets):
        wanted = tuple(subset.labels.items())
        if any(includes(one, wanted) for one in labels):
            continue
        text = ", ".join(f"{key}={value}" for key, value in wanted) or "no labels"
        message = f'no endpoint of {facts.host} is in subset "{subset.name}" ({text}): requests to it get 503'
        at = ("spec", "subsets", index, "labels")
        yield world.problem(
            "MESH0231", facts.ref, at, message, _values(labels, wanted), at_key=True
        )


def _labels(view: View, service: Service) -> list[dict[str, str]]:
    endpoints = (e for port in service.ports for e in view.endpoints(service, port.number))
    return [dict(endpoint.labels) for endpoint in endpoints]


def _values(labels: list[dict[str, str]], wanted: tuple[tuple[str, str], ...]) -> str:
    """What endpoints bear instead."""
    if not labels:
        return "it has no endpoints at all"
    said = []
    for key, value in wanted:
        values = sorted({one[key] for one in labels if key in one})
        if value not in values:
            said.append(f"{key} is {' or '.join(values)}" if values else f"none has {key}")
    return f"of its endpoints, {'; '.join(said)}" if said else "no endpoint bears all of them"


def _unknown_ports(
    world: World, facts: DestinationRuleFacts, spec: DestinationRuleSpec, services: list[Service]
) -> Iterator[Diagnostic]:
    numbers = {port.number for service in services for port in service.ports}
    for at, policy in _policies(spec):
        for index, entry in enumerate(policy.port_level_settings):
            number = entry.port.number if entry.port is not None else None
            if number and number not in numbers:
                path = (*at, "portLevelSettings", index, "port", "number")
                message = f"{facts.host} has no port {number}, so the policy has no effect"
                has = ", ".join(map(str, sorted(numbers))) or "none"
                yield world.problem("MESH0234", facts.ref, path, message, f"its ports: {has}")


def _policies(spec: DestinationRuleSpec) -> Iterator[tuple[Path, TrafficPolicy]]:
    if spec.traffic_policy is not None:
        yield ("spec", "trafficPolicy"), spec.traffic_policy
    for index, subset in enumerate(spec.subsets):
        if subset.traffic_policy is not None:
            yield ("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy
