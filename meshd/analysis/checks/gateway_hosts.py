"""VirtualServices bound to gateways: does the Gateway exist, and do its hosts meet those of the rules?

After Istio's analyzers virtualservice/gateways.go (IST0101, IST0132). What meets is decided by `sidecar.routing`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World
from sidecar.mesh.facts import MESH_GATEWAY, VirtualServiceFacts, gateway_name
from sidecar.mesh.model import HostName, Provenance
from sidecar.mesh.names import intersection, matches
from sidecar.mesh.references import GatewayRef
from sidecar.mesh.visibility import seen_by
from sidecar.routing.gateway_hosts import Opening
from store.diagnostics import Diagnostic
from store.objects.base import ObjectRef
from store.objects.gateway import Gateway
from store.objects.kinds import Kind
from store.objects.virtual_service import VirtualService

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """Gateways that do not exist, and hosts that they do not open."""
    for facts in world.facts(VirtualServiceFacts):
        spec = world.model(facts.ref, VirtualService).spec
        opened: list[HostName] = []
        is_known = MESH_GATEWAY not in facts.gateways
        for index, name in enumerate(spec.gateways):
            full = gateway_name(name, facts.ref.namespace)
            if full == MESH_GATEWAY:
                continue
            place, _, short = full.partition("/")
            ref = ObjectRef(Kind.GATEWAY, place, short)
            if ref not in world.mesh.gateways:
                is_known = False
                if world.is_whole:
                    yield _unknown(world, facts, index, ref)
                continue
            if not seen_by(facts.export_to, ref.namespace):
                yield _hidden(world, facts, ref)
            offered = _offered(world, ref, facts.ref.namespace)
            if intersection(offered, facts.hosts) or not facts.hosts:
                opened += offered
                continue
            is_known = False
            if world.model(ref, Gateway).spec.servers:
                yield _apart(world, facts, ref)
        if is_known and spec.gateways:
            yield from _not_opened(world, facts, opened)


def _unknown(world: World, facts: VirtualServiceFacts, index: int, ref: ObjectRef) -> Diagnostic:
    others = [f"{g.namespace}/{g.name}" for g in world.mesh.gateways if g.name == ref.name]
    if others:
        hint = f"did you mean {' or '.join(sorted(others))}? A name alone means namespace {ref.namespace}"
    else:
        near = world.did_you_mean(ref.name, (g.name for g in world.mesh.gateways))
        hint = near or "create it, or correct the name: NAME, or NAMESPACE/NAME"
    message = f"{ref} does not exist, so the rules are not in force there"
    return world.problem("MESH0210", facts.ref, ("spec", "gateways", index), message, hint)


def _hidden(world: World, facts: VirtualServiceFacts, ref: ObjectRef) -> Diagnostic:
    exported = ", ".join(facts.export_to)
    message = (
        f"exported to {exported}, which leaves out namespace {ref.namespace} of {ref}: gateway workloads there do not "
        "see these rules"
    )
    hint = f"add {ref.namespace} to exportTo"
    return world.problem("MESH0216", facts.ref, ("spec", "exportTo"), message, hint, at_key=True)


def _offered(world: World, ref: ObjectRef, namespace: str) -> tuple[HostName, ...]:
    """The hosts that a Gateway opens for VirtualServices of a namespace."""
    model = world.model(ref, Gateway)
    gateway = GatewayRef(ref, 0, 0, model)
    servers = (
        Opening(gateway, server, Provenance(ref, 0, f"spec.servers[{index}]"), server.bind or "")
        for index, server in enumerate(model.spec.servers)
    )
    return tuple(dict.fromkeys(h for server in servers for h in server.hosts_for(namespace)))


def _apart(world: World, facts: VirtualServiceFacts, ref: ObjectRef) -> Diagnostic:
    namespace = facts.ref.namespace
    servers = world.model(ref, Gateway).spec.servers
    entries = dict.fromkeys(entry for server in servers for entry in server.hosts)
    written = world.model(facts.ref, VirtualService).spec.hosts
    message = (
        f"{world.named(ref, ('spec', 'servers'))} opens {', '.join(entries) or 'nothing'}, and for namespace "
        f"{namespace} none of these hosts ({', '.join(written)}): it answers them with 404"
    )
    hint = (
        "write the same full host in both places, for instance the public name that clients ask for"
    )
    completed = [
        f'"{short}" here means {full}'
        for short in written
        if (full := world.resolve(short, namespace)) != short.lower()
    ]
    if completed:
        hint += f";\n{', '.join(completed)}, while a Gateway's hosts are taken as they are"
    elsewhere = [h for h in entries if any(matches(h.rpartition("/")[2], w) for w in facts.hosts)]
    if elsewhere:
        hint = f"{', '.join(elsewhere)} is for VirtualServices of another namespace: change the part before the slash"
    at = ("spec", "hosts", 0) if len(written) == 1 else ("spec", "hosts")
    return world.problem("MESH0211", facts.ref, at, message, hint, at_key=True)


def _not_opened(
    world: World, facts: VirtualServiceFacts, opened: list[HostName]
) -> Iterator[Diagnostic]:
    written = world.model(facts.ref, VirtualService).spec.hosts
    for index, name in enumerate(written):
        host = world.resolve(name, facts.ref.namespace)
        if not intersection(opened, (host,)):
            message = f"{host} is opened by none of the gateways ({', '.join(facts.gateways)})"
            hint = f"they open: {', '.join(dict.fromkeys(opened))}"
            yield world.problem("MESH0212", facts.ref, ("spec", "hosts", index), message, hint)
