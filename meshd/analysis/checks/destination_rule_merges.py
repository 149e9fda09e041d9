"""DestinationRules for one host: what an elder one says already is not taken from a younger one."""

from __future__ import annotations

from collections.abc import Iterator

from meshd.analysis.world import World
from sidecar.mesh.destination_rules import merge_groups
from sidecar.mesh.facts import DestinationRuleFacts
from sidecar.mesh.model import HostName
from store.diagnostics import Diagnostic
from store.objects.destination_rule import DestinationRule

__all__ = ["check"]


def check(world: World) -> Iterator[Diagnostic]:
    """Policies and subsets of younger rules that have no effect."""
    rules: dict[tuple[str, HostName], list[DestinationRuleFacts]] = {}
    for facts in world.facts(DestinationRuleFacts):
        rules.setdefault((facts.ref.namespace, facts.host), []).append(facts)
    for together in rules.values():
        ordered = sorted(together, key=lambda f: (f.create_revision, f.ref.name, f.ref.namespace))
        for group in merge_groups(tuple(ordered)):
            yield from _repeated(world, group)


def _repeated(world: World, group: tuple[DestinationRuleFacts, ...]) -> Iterator[Diagnostic]:
    owner_of_policy: DestinationRuleFacts | None = None
    owners: dict[str, DestinationRuleFacts] = {}
    for facts in group:
        spec = world.model(facts.ref, DestinationRule).spec
        if spec.traffic_policy is not None:
            if owner_of_policy is None:
                owner_of_policy = facts
            else:
                elder = world.named(owner_of_policy.ref, ("spec", "trafficPolicy"))
                message = f"has no effect: {elder} has the policy for {facts.host} already"
                hint = "keep one of the two"
                at = ("spec", "trafficPolicy")
                yield world.problem("MESH0233", facts.ref, at, message, hint, at_key=True)
        for index, subset in enumerate(spec.subsets):
            owner = owners.setdefault(subset.name, facts)
            if owner is not facts:
                elder = world.named(owner.ref, ("spec", "subsets"))
                message = (
                    f'has no effect: {elder} defines subset "{subset.name}" of {facts.host} already'
                )
                at_subset = ("spec", "subsets", index, "name")
                yield world.problem(
                    "MESH0233", facts.ref, at_subset, message, "give it another name, or remove it"
                )
