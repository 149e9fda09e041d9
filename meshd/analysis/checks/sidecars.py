"""Sidecars that are for the same workloads, and hosts of theirs that nothing defines.

After Istio's analyzers sidecar (IST0110, IST0111). Sidecars are never merged: the first by age, then by name, is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from meshd.analysis.world import World
from sidecar.mesh.facts import SidecarFacts
from sidecar.mesh.labels import includes
from sidecar.mesh.model import HostName
from sidecar.mesh.names import is_wildcard, resolve
from store.diagnostics import Diagnostic, Path
from store.objects.sidecar import Sidecar

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """Rivals, then unknown egress hosts."""
    for namespace in sorted(world.mesh.sidecars):
        for elder, younger in combinations(world.mesh.sidecars.get(namespace), 2):
            shared = _shared(world, elder, younger)
            if shared:
                name = world.named(elder.ref, ("spec",))
                message = f"{name} comes first and is used for {shared}; Sidecars are not merged"
                hint = "merge the two, or give them selectors that exclude each other"
                at: Path = ("spec",)
                if younger.selector:
                    at = ("spec", "workloadSelector", "labels", younger.selector[0][0])
                yield world.problem("MESH0252", younger.ref, at, message, hint, at_key=True)
    if world.is_whole:
        for facts in world.facts(SidecarFacts):
            yield from _unknown_hosts(world, facts)


def _shared(world: World, elder: SidecarFacts, younger: SidecarFacts) -> str:
    """The workloads that two Sidecars of one namespace are both for; empty when there are none."""
    if elder.selector is None or younger.selector is None:
        both = elder.selector is None and younger.selector is None
        return f"every workload of namespace {younger.ref.namespace}" if both else ""
    if includes(dict(younger.selector), elder.selector):
        return f"all workloads with {_text(younger.selector)}"
    if includes(dict(elder.selector), younger.selector):
        return f"all workloads with {_text(elder.selector)}"
    first = world.mesh.services.registered.select(younger.ref.namespace, younger.selector)
    names = sorted(one.key.name for one in first if includes(one.labels, elder.selector))
    return f"workload {', '.join(names)}" if names else ""


def _text(selector: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{key}={value}" for key, value in selector)


def _unknown_hosts(world: World, facts: SidecarFacts) -> Iterator[Diagnostic]:
    spec = world.model(facts.ref, Sidecar).spec
    for number, listener in enumerate(spec.egress):
        for index, entry in enumerate(listener.hosts):
            place, slash, name = entry.rpartition("/")
            if not slash or place.startswith("~") or is_wildcard(name):
                continue
            where = facts.ref.namespace if place == "." else place
            host = HostName(name.lower())
            if where != "*":
                host = resolve(name, where, world.mesh.config.domain)
            if _is_defined(world, host, where):
                continue
            message = f"no service and no VirtualService of {_place(where)} has the host {host}"
            at = ("spec", "egress", number, "hosts", index)
            yield world.problem("MESH0253", facts.ref, at, message, _hint(world, host))


def _is_defined(world: World, host: HostName, namespace: str) -> bool:
    places = {*world.mesh.services.namespaces_of(host)}
    client = world.view(namespace)
    places |= {one.ref.namespace for one in client.virtual_services_for(host) if host in one.hosts}
    return bool(places) if namespace == "*" else namespace in places


def _place(namespace: str) -> str:
    return "any namespace" if namespace == "*" else f"namespace {namespace}"


def _hint(world: World, host: HostName) -> str:
    places = sorted(world.mesh.services.namespaces_of(host))
    if places:
        return f"it is in namespace {', '.join(places)}: write {places[0]}/{host}"
    near = world.did_you_mean(host, world.mesh.services.hosts())
    return near or "correct the name, or define the service"
