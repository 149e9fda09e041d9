"""Conditions on the place where a request comes in that no place of the VirtualService fulfils."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World
from sidecar.mesh.facts import MESH_GATEWAY, VirtualServiceFacts, gateway_name
from store.diagnostics import Diagnostic, Path
from store.objects.base import ObjectRef
from store.objects.gateway import Gateway
from store.objects.kinds import Kind
from store.objects.virtual_service import (
    HTTPMatchRequest,
    L4MatchAttributes,
    TLSMatchAttributes,
    VirtualService,
    VirtualServiceSpec,
)

__all__ = ["check"]

Block = HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes


def check(world: World) -> Iterator[Diagnostic]:
    """Gateways that a rule is not bound to, ports that no gateway of it opens. Delegates take both from their roots."""
    for facts in world.facts(VirtualServiceFacts):
        if not facts.hosts:
            continue
        ports = _ports(world, facts)
        for at, block in _blocks(world.model(facts.ref, VirtualService).spec):
            yield from _elsewhere(world, facts, at, block)
            if block.port and ports and block.port not in ports:
                message = f"never holds: none of the gateways opens port {block.port}"
                hint = f"they open {', '.join(map(str, sorted(ports)))}"
                yield world.problem("MESH0217", facts.ref, (*at, "port"), message, hint)


def _blocks(spec: VirtualServiceSpec) -> Iterator[tuple[Path, Block]]:
    for index, http in enumerate(spec.http):
        for number, block in enumerate(http.match):
            yield ("spec", "http", index, "match", number), block
    for index, tls in enumerate(spec.tls):
        for number, sni in enumerate(tls.match):
            yield ("spec", "tls", index, "match", number), sni
    for index, tcp in enumerate(spec.tcp):
        for number, plain in enumerate(tcp.match):
            yield ("spec", "tcp", index, "match", number), plain


def _ports(world: World, facts: VirtualServiceFacts) -> set[int]:
    """Ports that the gateways of a rule open; empty where it is for sidecars too, or not all of them are known."""
    ports: set[int] = set()
    for full in facts.gateways:
        place, _, name = full.partition("/")
        ref = ObjectRef(Kind.GATEWAY, place, name)
        if full == MESH_GATEWAY or ref not in world.mesh.gateways:
            return set()
        ports |= {server.port.number for server in world.model(ref, Gateway).spec.servers}
    return ports


def _elsewhere(
    world: World, facts: VirtualServiceFacts, at: Path, block: Block
) -> Iterator[Diagnostic]:
    for index, name in enumerate(block.gateways):
        if gateway_name(name, facts.ref.namespace) not in facts.gateways:
            message = (
                f"never holds: the VirtualService is bound to {', '.join(facts.gateways)} alone"
            )
            hint = f"add {name} to spec.gateways, or remove it here"
            yield world.problem("MESH0217", facts.ref, (*at, "gateways", index), message, hint)
