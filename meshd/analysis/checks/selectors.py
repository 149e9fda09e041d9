"""Selectors that select nothing: endpoints of ServiceEntries, workloads of Sidecars and of DestinationRules.

Gateways are left out: which labels a sidecar in gateway role bears stands in its own settings, not in the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World
from sidecar.mesh.facts import DestinationRuleFacts, ServiceEntryFacts, SidecarFacts
from sidecar.mesh.labels import includes
from store.diagnostics import Diagnostic

__all__ = ["check"]

Labels = tuple[tuple[str, str], ...]


def check(world: World) -> Iterator[Diagnostic]:
    """Selectors of services, then those of clients. Only where all workloads are known."""
    if not world.is_whole:
        return
    index = world.mesh.services
    for entry in world.facts(ServiceEntryFacts):
        if not entry.selector:
            continue
        namespace = entry.ref.namespace
        if index.registered.select(namespace, entry.selector) or index.workload_entries.select(
            namespace, entry.selector
        ):
            continue
        message = (
            f"no WorkloadEntry and no registered workload of namespace {namespace} bears {_text(entry.selector)}: "
            f"{', '.join(entry.hosts)} has no endpoints from it"
        )
        at = ("spec", "workloadSelector", "labels")
        yield world.problem(
            "MESH0250", entry.ref, at, message, _hint(world, namespace, entry.selector)
        )
    for kind, at in (
        (SidecarFacts, ("spec", "workloadSelector", "labels")),
        (DestinationRuleFacts, ("spec", "workloadSelector", "matchLabels")),
    ):
        yield from _of_clients(world, kind, at)


def _of_clients(
    world: World, kind: type[SidecarFacts] | type[DestinationRuleFacts], at: tuple[str, ...]
) -> Iterator[Diagnostic]:
    for facts in world.facts(kind):
        namespace = facts.ref.namespace
        if facts.selector and not world.mesh.services.registered.select(namespace, facts.selector):
            message = (
                f"no registered workload of namespace {namespace} bears {_text(facts.selector)}"
            )
            hint = _hint(world, namespace, facts.selector)
            yield world.problem("MESH0251", facts.ref, at, message, hint)


def _text(selector: Labels) -> str:
    return ", ".join(f"{key}={value}" for key, value in selector)


def _hint(world: World, namespace: str, selector: Labels) -> str:
    """Where else such workloads are, else what those of the namespace bear instead."""
    workloads = [one for host in world.mesh.workloads.values() for one in host.values()]
    elsewhere = {one.key.namespace for one in workloads if includes(one.labels, selector)}
    if elsewhere:
        return f"such workloads are in namespace {', '.join(sorted(elsewhere))}"
    said = []
    for key, _ in selector:
        here = {
            one.labels[key]
            for one in workloads
            if one.key.namespace == namespace and key in one.labels
        }
        said.append(f"{key} is {' or '.join(sorted(here)[:5])}" if here else f"none has {key}")
    return f"of the workloads there, {'; '.join(said)}"
