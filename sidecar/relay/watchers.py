"""Who holds a watch on etcd, where most hosts follow peers instead: a rule that all compute alike, from membership.

In each zone members are ordered by a hash of their name (rendezvous hashing: Thaler and Ravishankar, 1996); the
first ones hold a watch: a share of the zone, and never less than some. A member that comes or goes moves the order
of no other, so at most one of each zone begins and one ends. A chosen member that does not reach etcd is passed
over for the next one, while it goes on trying.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b

from sidecar.mesh.model import Locality
from sidecar.relay.settings import RelaySettings

__all__ = ["Duty", "chosen_in_zone", "watchers", "zone_of"]

Zone = tuple[str, str]


def zone_of(locality: Locality) -> Zone:
    """Region and zone: hosts of one zone reach each other cheaply, and lose etcd together."""
    return locality.region, locality.zone


def watchers(
    members: Mapping[str, Locality],
    settings: RelaySettings,
    is_failing: Callable[[str], bool] = lambda _: False,
) -> frozenset[str]:
    """All members that hold a watch.

    Args:
        members: Everybody, with where they are.
        settings: `watch_share` and `watchers_min`.
        is_failing: Who is known not to reach etcd: it goes on trying, beside the next one.
    """
    zones: dict[Zone, list[str]] = {}
    for node, locality in members.items():
        zones.setdefault(zone_of(locality), []).append(node)
    found: set[str] = set()
    for nodes in zones.values():
        found.update(chosen_in_zone(sorted(nodes, key=_place), settings, is_failing))
    return frozenset(found)


def chosen_in_zone(
    ordered: list[str], settings: RelaySettings, is_failing: Callable[[str], bool]
) -> list[str]:
    """The members of one zone that hold a watch.

    Args:
        ordered: The zone's members in their order.
        settings: `watch_share` and `watchers_min`.
        is_failing: Who is known not to reach etcd.
    """
    wanted = max(settings.watchers_min, math.ceil(settings.watch_share * len(ordered)))
    chosen: list[str] = []
    for node in ordered:
        if wanted <= 0:
            break
        chosen.append(node)
        wanted -= not is_failing(node)
    return chosen


@lru_cache(maxsize=1 << 15)
def _place(node: str) -> tuple[bytes, str]:
    return blake2b(node.encode(), digest_size=8, person=b"meshd watch").digest(), node


class Duty:
    """Whether this host holds a watch, over time.

    It begins at once when chosen, and ends only some time after it no longer is. Who has been chosen for long and
    does not reach etcd is failing.

    Args:
        node: Who we are.
        locality: Where we are.
        settings: What may be turned.
    """

    def __init__(self, node: str, locality: Locality, settings: RelaySettings) -> None:
        self._node = node
        self._zone = zone_of(locality)
        self._settings = settings
        self._ordered = [node]
        self._lost_s: dict[str, float] = {}
        self._free_s: float | None = None
        self._due_s: float | None = None
        self._knows_members = False
        self._began_s: float | None = None
        self.is_wanted = settings.watch_share >= 1.0
        """Whether we hold a watch. Who starts waits until it knows the members, or has waited for long."""

    def members_seen(self, members: Mapping[str, Locality]) -> None:
        """These are the members now, with or without ourselves."""
        self._knows_members = True
        mine = {node for node, locality in members.items() if zone_of(locality) == self._zone}
        self._ordered = sorted(mine | {self._node}, key=_place)

    def deadline(self) -> float | None:
        """When it is to be decided anew though nothing happens."""
        return self._due_s

    def decide(self, reaches: Callable[[str], bool], now_s: float) -> bool:
        """Whether `is_wanted` has changed. To be called when who reaches etcd changes, and at `deadline`.

        Args:
            reaches: Whether a member, or we ourselves, have etcd in reach.
            now_s: Monotonic seconds.
        """
        self._due_s = None
        if self._settings.watch_share >= 1.0:
            return False
        if not self._knows_members:
            self._began_s = now_s if self._began_s is None else self._began_s
            self._due_s = self._began_s + self._settings.takeover_s
            if now_s < self._due_s:
                return False
        chosen = self._chosen(reaches, now_s)
        if self._node in chosen or not self.is_wanted:
            self._free_s = None
            wanted = self._node in chosen
        else:
            self._free_s = self._free_s or now_s + self._settings.hand_over_s
            wanted = now_s < self._free_s
            self._due_s = self._free_s if self._due_s is None else min(self._free_s, self._due_s)
        changed, self.is_wanted = wanted != self.is_wanted, wanted
        return changed

    def _chosen(self, reaches: Callable[[str], bool], now_s: float) -> list[str]:
        """The chosen of our zone; each has `takeover_s` from being chosen, or from losing etcd, to reach it."""
        lost_s: dict[str, float] = {}
        patience_s = self._settings.takeover_s

        def is_failing(node: str) -> bool:
            if reaches(node):
                return False
            lost_s[node] = self._lost_s.get(node, now_s)
            due_s = lost_s[node] + patience_s
            if now_s >= due_s:
                return True
            self._due_s = due_s if self._due_s is None else min(self._due_s, due_s)
            return False

        chosen = chosen_in_zone(self._ordered, self._settings, is_failing)
        self._lost_s = lost_s
        return chosen
