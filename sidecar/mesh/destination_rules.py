"""Index of DestinationRules: which ones speak for a service, as a client namespace sees them.

Looked up in the client's namespace, then the service's, then the root namespace; the first level with an
answer wins and levels are never merged (Istio pilot/pkg/model/push_context.go destinationRule). Within a
level only the most specific host counts, and rules for that same host are merged
(pilot/pkg/model/destination_rule.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sidecar.mesh.buckets import HostTables
from sidecar.mesh.facts import DestinationRuleFacts
from sidecar.mesh.model import HostName
from sidecar.mesh.visibility import seen_by

__all__ = ["DestinationRuleIndex", "merge_groups"]


class _Shelf(StrEnum):
    """Which clients a table is read for."""

    LOCAL = "local"
    """Clients of the rule's own namespace."""
    EXPORTED = "exported"
    """Clients of other namespaces."""
    PRIVATE = "private"
    """Clients of the root namespace: its rules that no other namespace sees."""


class _Place(NamedTuple):
    """Key of one table: namespace of the rules and who reads it."""

    namespace: str
    shelf: _Shelf


@dataclass(frozen=True, slots=True)
class DestinationRuleIndex:
    """Immutable; `add` and `remove` give the next one."""

    tables: HostTables[_Place, DestinationRuleFacts] = field(default_factory=HostTables)
    """Rules by host, for each namespace and kind of reader."""

    @classmethod
    def of(cls, rules: Iterable[DestinationRuleFacts]) -> DestinationRuleIndex:
        """All of `rules` at once."""
        return cls(
            HostTables.of((place, facts.host, facts) for facts in rules for place in _places(facts))
        )

    def add(self, facts: DestinationRuleFacts) -> DestinationRuleIndex:
        """With one more rule, which must not be in it yet."""
        tables = self.tables
        for place in _places(facts):
            tables = tables.add(place, facts.host, facts)
        return DestinationRuleIndex(tables)

    def remove(self, facts: DestinationRuleFacts) -> DestinationRuleIndex:
        """Without a rule that was added as `facts`."""
        tables = self.tables
        for place in _places(facts):
            tables = tables.remove(place, facts.host, facts.ref)
        return DestinationRuleIndex(tables)

    def rules(
        self,
        host: HostName,
        service_namespace: str,
        client: str,
        client_labels: Mapping[str, str],
        root: str,
        serves: Callable[[DestinationRuleFacts], bool],
    ) -> tuple[DestinationRuleFacts, ...]:
        """The rules that are in force together for `host`, the leading one first; empty for none.

        Args:
            host: Full name of the destination.
            service_namespace: Namespace of the service; empty when no service has that name.
            client: Namespace of the client workload.
            client_labels: Labels of the client workload, for rules with a selector.
            root: The root namespace.
            serves: Whether a rule is valid; one that is not is passed over.
        """
        own = _Place(client, _Shelf.PRIVATE if client == root else _Shelf.LOCAL)
        found = self.tables.most_specific(own, host, serves)
        for namespace in (service_namespace, root):
            if found or not namespace:
                continue
            place = _Place(namespace, _Shelf.EXPORTED)
            level = self.tables.most_specific(place, host, serves)
            found = tuple(facts for facts in level if seen_by(facts.export_to, client))
        return _selected(merge_groups(found), client_labels)


def merge_groups(
    rules: tuple[DestinationRuleFacts, ...],
) -> tuple[tuple[DestinationRuleFacts, ...], ...]:
    """Group rules of one host and namespace into those that are merged, each group led by its oldest.

    Rules merge when both have no selector or the same one, and the younger one's export list has every entry
    of the elder's. A younger rule whose list has more entries also stands for itself (`*` is an entry, not
    every entry: so it is in Istio).
    """
    groups: list[list[DestinationRuleFacts]] = []
    for rule in rules:
        separate = True
        for group in groups:
            lead = group[0]
            if lead.selector != rule.selector:
                continue
            if lead.export_to == rule.export_to:
                group.append(rule)
                separate = False
            elif _covers(rule.export_to, lead.export_to):
                group.append(rule)
        if separate:
            groups.append([rule])
    return tuple(tuple(group) for group in groups)


def _covers(wider: tuple[str, ...], narrower: tuple[str, ...]) -> bool:
    return set(narrower) <= set(wider)


def _selected(
    groups: tuple[tuple[DestinationRuleFacts, ...], ...], labels: Mapping[str, str]
) -> tuple[DestinationRuleFacts, ...]:
    """The first group whose selector matches, else the first without a selector, else none."""
    for group in groups:
        selector = group[0].selector
        if selector is not None and all(labels.get(key) == value for key, value in selector):
            return group
    return next((group for group in groups if group[0].selector is None), ())


def _places(facts: DestinationRuleFacts) -> list[_Place]:
    namespace = facts.ref.namespace
    places = []
    if seen_by(facts.export_to, namespace):
        places.append(_Place(namespace, _Shelf.LOCAL))
    if facts.export_to == (namespace,):
        places.append(_Place(namespace, _Shelf.PRIVATE))
    elif facts.export_to != ("~",):
        places.append(_Place(namespace, _Shelf.EXPORTED))
    return places
