"""VirtualServices among themselves: several for one host, delegates that cannot be used or are never named.

After Istio's analyzers conflictingmeshgatewayhosts.go (IST0109) and schema of delegates (IST0101).
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.audiences import common_namespace
from meshd.analysis.world import World
from sidecar.mesh.facts import MESH_GATEWAY, VirtualServiceFacts
from sidecar.mesh.model import HostName
from store.diagnostics import Diagnostic
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.objects.virtual_service import VirtualService

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """Rules of sidecars that another object hides, then delegation."""
    yield from _second_owners(world)
    yield from _delegation(world)


def _second_owners(world: World) -> Iterator[Diagnostic]:
    owners: dict[HostName, list[VirtualServiceFacts]] = {}
    for facts in world.facts(VirtualServiceFacts):
        if MESH_GATEWAY in facts.gateways:
            for host in facts.hosts:
                owners.setdefault(host, []).append(facts)
    for host, rivals in owners.items():
        hidden: set[ObjectRef] = set()
        for index, one in enumerate(rivals):
            for other in rivals[index + 1 :]:
                client = common_namespace(one.export_to, other.export_to)
                if client is None:
                    continue
                order = world.mesh.virtual_services.for_host(host, MESH_GATEWAY, client, _any)
                first, second = sorted((one, other), key=order.index)
                if second.ref not in hidden:
                    hidden.add(second.ref)
                    yield _hidden(world, host, client, first, second)


def _any(facts: VirtualServiceFacts) -> bool:
    """No Sidecar limits what is looked at."""
    return facts is not None


def _hidden(
    world: World,
    host: HostName,
    client: str,
    first: VirtualServiceFacts,
    second: VirtualServiceFacts,
) -> Diagnostic:
    hosts = world.model(second.ref, VirtualService).spec.hosts
    names = [world.resolve(name, second.ref.namespace) for name in hosts]
    at = ("spec", "hosts", names.index(host))
    winner = world.named(first.ref, ("spec", "hosts"))
    who = f"sidecars of namespace {client}" if client else "sidecars"
    message = f"{who} use {winner} for {host}, and do not merge rules of several objects"
    hint = "put the rules into one object, in the order in which they are to be tried"
    return world.problem("MESH0222", second.ref, at, message, hint)


def _delegation(world: World) -> Iterator[Diagnostic]:
    index = world.mesh.virtual_services
    for facts in world.facts(VirtualServiceFacts):
        if not facts.hosts and world.is_whole and not index.roots_of(facts.ref):
            message = "without hosts it is in force only where a VirtualService delegates to it, and none does"
            name, place = facts.ref.name, facts.ref.namespace
            hint = (
                f"give it hosts, or delegate to it: delegate: {{name: {name}, namespace: {place}}}"
            )
            yield world.problem("MESH0221", facts.ref, ("spec",), message, hint, at_key=True)
        for number, rule in enumerate(world.model(facts.ref, VirtualService).spec.http):
            if rule.delegate is None:
                continue
            place = rule.delegate.namespace or facts.ref.namespace
            ref = ObjectRef(Kind.VIRTUAL_SERVICE, place, rule.delegate.name or "")
            reason = _why_unusable(world, ref, facts.ref.namespace)
            if reason:
                at = ("spec", "http", number, "delegate")
                hint = "name a VirtualService without hosts that is exported to this namespace"
                yield world.problem("MESH0220", facts.ref, at, reason, hint, at_key=True)


def _why_unusable(world: World, ref: ObjectRef, namespace: str) -> str:
    if world.view(namespace).delegate(ref, namespace) is not None:
        return ""
    found = world.mesh.facts.get(ref)
    if found is None:
        return f"{ref} does not exist, so the rule is left out" if world.is_whole else ""
    if isinstance(found, VirtualServiceFacts) and found.hosts:
        name = world.named(ref, ("spec", "hosts"))
        return f"{name} has hosts of its own, so it is no delegate and the rule is left out"
    return f"{ref} is not exported to {namespace}, so the rule is left out"
