"""ServiceEntries for one host or one address that contradict each other.

After Istio's analyzer serviceentry (IST0177). Within a namespace entries are merged, elder first
(`sidecar.mesh.definitions`); between namespaces a client gets one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from meshd.analysis.audiences import common_namespace
from meshd.analysis.world import World
from sidecar.mesh.definitions import entry_ports
from sidecar.mesh.facts import ServiceEntryFacts
from sidecar.mesh.model import HostName, Protocol
from store.diagnostics import Diagnostic
from store.objects.service_entry import Resolution, ServiceEntry, ServiceEntrySpec

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """What the younger of two entries says otherwise."""
    hosts: dict[HostName, list[ServiceEntryFacts]] = {}
    addresses: dict[str, list[ServiceEntryFacts]] = {}
    for facts in world.facts(ServiceEntryFacts):
        for host in facts.hosts:
            hosts.setdefault(host, []).append(facts)
        for address in facts.addresses:
            addresses.setdefault(address, []).append(facts)
    for host, entries in hosts.items():
        for elder, younger in combinations(entries, 2):
            if common_namespace(elder.export_to, younger.export_to) is not None:
                yield from _contradictions(world, host, elder, younger)
    for address, claimants in addresses.items():
        for elder, younger in combinations(claimants, 2):
            if set(elder.hosts) & set(younger.hosts):
                continue
            if common_namespace(elder.export_to, younger.export_to) is not None:
                yield _claimed(world, address, elder, younger)


def _spec(world: World, facts: ServiceEntryFacts) -> ServiceEntrySpec:
    return world.model(facts.ref, ServiceEntry).spec


def _contradictions(
    world: World, host: HostName, elder: ServiceEntryFacts, younger: ServiceEntryFacts
) -> Iterator[Diagnostic]:
    first, second = _spec(world, elder), _spec(world, younger)
    name = world.named(elder.ref, ("spec", "ports"))
    held = {port.number: port.protocol for port in entry_ports(first)}
    for index, port in enumerate(entry_ports(second)):
        protocol = held.get(port.number)
        if protocol is not None and protocol is not port.protocol:
            message = (
                f"port {port.number} of {host} is {_said(port.protocol)} here and {_said(protocol)} by "
                f"{name}; clients that see both get one of them"
            )
            at = ("spec", "ports", index, "protocol")
            hint = "make the protocols equal, or part the entries by exportTo"
            yield world.problem("MESH0240", younger.ref, at, message, hint)
    ours, theirs = second.resolution or Resolution.NONE, first.resolution or Resolution.NONE
    if elder.ref.namespace == younger.ref.namespace and ours is not theirs:
        message = f"{host} is {theirs} by {world.named(elder.ref, ('spec', 'resolution'))}, which is older and holds"
        hint = f"write resolution: {theirs}, or merge the two entries"
        yield world.problem("MESH0241", younger.ref, ("spec", "resolution"), message, hint)


def _said(protocol: Protocol) -> str:
    return protocol.value or "of no declared protocol"


def _claimed(
    world: World, address: str, elder: ServiceEntryFacts, younger: ServiceEntryFacts
) -> Diagnostic:
    index = _spec(world, younger).addresses.index(address)
    name = world.named(elder.ref, ("spec", "addresses"))
    message = (
        f"{address} is the address of {', '.join(elder.hosts)} by {name}, which is older and has it"
    )
    hint = "give each service an address of its own"
    return world.problem("MESH0242", younger.ref, ("spec", "addresses", index), message, hint)
