"""Selecting by labels without scanning: members by label pair, selectors by one of their pairs.

A selector matches labels that include every one of its pairs; an empty selector matches nothing (Istio
pkg/config/labels Instance.Match, which ties services to workloads).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from immutables import Map

__all__ = ["LabelIndex", "Pair", "SelectorIndex", "includes"]


class Pair(NamedTuple):
    """One label in one namespace."""

    namespace: str
    key: str
    value: str


K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
_Labels = tuple[tuple[str, str], ...]


def includes(labels: Mapping[str, str], selector: Iterable[tuple[str, str]]) -> bool:
    """Whether `labels` has every pair of `selector` (an empty one is included everywhere)."""
    return all(labels.get(key) == value for key, value in selector)


@dataclass(frozen=True, slots=True)
class LabelIndex(Generic[K, T]):
    """Members with labels, found by selector at the cost of the rarest of its pairs."""

    by_pair: Map[Pair, Map[K, T]] = field(default_factory=Map)
    """Members that have a pair."""
    labels: Map[K, Mapping[str, str]] = field(default_factory=Map)
    """Labels of each member."""

    def add(self, namespace: str, key: K, member: T, labels: Mapping[str, str]) -> LabelIndex[K, T]:
        """With `member`, which must not be in it yet."""
        by_pair = self.by_pair
        for pair in (Pair(namespace, *item) for item in labels.items()):
            by_pair = by_pair.set(pair, by_pair.get(pair, Map()).set(key, member))
        return LabelIndex(by_pair, self.labels.set(key, labels))

    def remove(self, namespace: str, key: K) -> LabelIndex[K, T]:
        """Without the member under `key`; unchanged when there is none."""
        labels = self.labels.get(key)
        if labels is None:
            return self
        by_pair = self.by_pair
        for pair in (Pair(namespace, *item) for item in labels.items()):
            by_pair = _dropped(by_pair, pair, key)
        return LabelIndex(by_pair, self.labels.delete(key))

    def select(self, namespace: str, selector: _Labels) -> list[T]:
        """The members of `namespace` whose labels include every pair of `selector`, in no order."""
        pairs = [Pair(namespace, *item) for item in selector]
        if not pairs:
            return []
        rarest = min((self.by_pair.get(pair, Map()) for pair in pairs), key=len)
        return [m for key, m in rarest.items() if includes(self.labels[key], selector)]


@dataclass(frozen=True, slots=True)
class SelectorIndex(Generic[K, T]):
    """Owners of selectors, found by the labels of a member: each stands under the first of its pairs."""

    by_anchor: Map[Pair, Map[K, tuple[_Labels, T]]] = field(default_factory=Map)
    """Owner and whole selector, by one pair of it."""

    def add(self, namespace: str, key: K, owner: T, selector: _Labels) -> SelectorIndex[K, T]:
        """With `owner`; an empty selector selects nothing and is not kept."""
        if not selector:
            return self
        anchor = Pair(namespace, *selector[0])
        here = self.by_anchor.get(anchor, Map()).set(key, (selector, owner))
        return SelectorIndex(self.by_anchor.set(anchor, here))

    def remove(self, namespace: str, key: K, selector: _Labels) -> SelectorIndex[K, T]:
        """Without the owner under `key`, which was added with `selector`."""
        if not selector:
            return self
        return SelectorIndex(_dropped(self.by_anchor, Pair(namespace, *selector[0]), key))

    def owners(self, namespace: str, labels: Mapping[str, str]) -> list[T]:
        """The owners in `namespace` whose selector is included in `labels`, in no order."""
        return [
            owner
            for item in labels.items()
            for selector, owner in self.by_anchor.get(Pair(namespace, *item), Map()).values()
            if includes(labels, selector)
        ]


def _dropped(index: Map[Pair, Map[K, T]], pair: Pair, key: K) -> Map[Pair, Map[K, T]]:
    members = index.get(pair)
    if members is None or key not in members:
        return index
    rest = members.delete(key)
    return index.set(pair, rest) if len(rest) else index.delete(pair)
