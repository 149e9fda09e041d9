"""ServiceEntries for one host or one address that contradict each other.

After Istio's analyzer serviceentry (IST0177). Within a namespace entries are merged, elder first
(`sidecar.mesh.definitions`); between namespaces a client gets one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.audiences import common_namespace
from meshd.analysis.world import World
from sidecar.mesh.buckets import age
from sidecar.mesh.definitions import entry_ports
from sidecar.mesh.facts import ServiceEntryFacts
from sidecar.mesh.model import HostName, Protocol
from store.diagnostics import Diagnostic
from store.objects.service_entry import Resolution, ServiceEntry, ServiceEntrySpec

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """What a later one of several entries says otherwise than the first."""
    hosts: dict[HostName, list[ServiceEntryFacts]] = {}
    addresses: dict[str, list[ServiceEntryFacts]] = {}
    for facts in sorted(world.facts(ServiceEntryFacts), key=age):
        for host in facts.hosts:
            hosts.setdefault(host, []).append(facts)
        for address in facts.addresses:
            addresses.setdefault(address, []).append(facts)
    for host, entries in hosts.items():
        for index, later in enumerate(entries):
            earlier = [one for one in entries[:index] if _meet(one, later)]
            yield from _other_ports(world, host, earlier, later)
            yield from _other_resolution(world, host, earlier, later)
    for address, claimants in addresses.items():
        for index, later in enumerate(claimants):
            for first in claimants[:index]:
                if _meet(first, later) and not set(first.hosts) & set(later.hosts):
                    yield _claimed(world, address, first, later)
                    break


def _meet(one: ServiceEntryFacts, other: ServiceEntryFacts) -> bool:
    """Whether some namespace sees both."""
    return common_namespace(one.export_to, other.export_to) is not None


def _spec(world: World, facts: ServiceEntryFacts) -> ServiceEntrySpec:
    return world.model(facts.ref, ServiceEntry).spec


def _other_ports(
    world: World, host: HostName, earlier: list[ServiceEntryFacts], later: ServiceEntryFacts
) -> Iterator[Diagnostic]:
    held: dict[int, tuple[ServiceEntryFacts, Protocol]] = {}
    for facts in earlier:
        for port in entry_ports(_spec(world, facts)):
            held.setdefault(port.number, (facts, port.protocol))
    for index, port in enumerate(entry_ports(_spec(world, later))):
        first, protocol = held.get(port.number, (later, port.protocol))
        if protocol is port.protocol:
            continue
        name = world.named(first.ref, ("spec", "ports"))
        message = (
            f"port {port.number} of {host} is {_said(port.protocol)} here and {_said(protocol)} by {name}; "
            "clients that see both get one of them"
        )
        at = ("spec", "ports", index, "protocol")
        hint = "make the protocols equal, or part the entries by exportTo"
        yield world.problem("MESH0240", later.ref, at, message, hint)


def _other_resolution(
    world: World, host: HostName, earlier: list[ServiceEntryFacts], later: ServiceEntryFacts
) -> Iterator[Diagnostic]:
    leading = [facts for facts in earlier if facts.ref.namespace == later.ref.namespace]
    if not leading:
        return
    ours = _spec(world, later).resolution or Resolution.NONE
    theirs = _spec(world, leading[0]).resolution or Resolution.NONE
    if ours is not theirs:
        name = world.named(leading[0].ref, ("spec", "resolution"))
        message = f"{host} is {theirs} by {name}, which comes first and holds"
        hint = f"write resolution: {theirs}, or merge the two entries"
        yield world.problem("MESH0241", later.ref, ("spec", "resolution"), message, hint)


def _said(protocol: Protocol) -> str:
    return protocol.value or "of no declared protocol"


def _claimed(
    world: World, address: str, first: ServiceEntryFacts, later: ServiceEntryFacts
) -> Diagnostic:
    index = _spec(world, later).addresses.index(address)
    name = world.named(first.ref, ("spec", "addresses"))
    message = f"{address} is the address of {', '.join(first.hosts)} by {name}, which comes first and has it"
    hint = "give each service an address of its own"
    return world.problem("MESH0242", later.ref, ("spec", "addresses", index), message, hint)
