"""Whether members that have one revision of one etcd have the same content. Pure.

Everybody who follows etcd has the same keys and values at a revision. Two hashes at one revision mean that somebody
lost an event, took a corrupt copy, or follows a restored etcd that kept its cluster id: a person must look.
What this host itself had lately counts too, so that a wrong one is found although we have gone on.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from sidecar.standing.model import Standing

__all__ = ["OWN_REMEMBERED", "Agreement", "Point"]

OWN_REMEMBERED = 64
"""Own revisions whose hash is remembered: some seconds of a busy mesh, about as long as members lag."""


class Point(NamedTuple):
    """One revision of one etcd."""

    cluster_id: int
    revision: int


class Agreement:
    """Who claims which content at which revision.

    Args:
        node: This host.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._claims: dict[Point, dict[str, str]] = {}
        self._of_node: dict[str, Point] = {}
        self._own: OrderedDict[Point, str] = OrderedDict()

    def claim(self, node: str, standing: Standing | None) -> tuple[Point, ...]:
        """Take what a node says now, None when it no longer counts; returns the revisions that were touched."""
        touched = []
        before = self._of_node.pop(node, None)
        if before is not None:
            touched.append(before)
            rows = self._claims[before]
            del rows[node]
            if not rows:
                del self._claims[before]
        if standing is not None and standing.epoch is not None and standing.received_hash:
            point = Point(standing.epoch.cluster_id, standing.received)
            self._of_node[node] = point
            self._claims.setdefault(point, {})[node] = standing.received_hash
            if node == self._node:
                self._remember(point, standing.received_hash)
            if point not in touched:
                touched.append(point)
        return tuple(touched)

    def _remember(self, point: Point, content: str) -> None:
        self._own[point] = content
        self._own.move_to_end(point)
        if len(self._own) > OWN_REMEMBERED:
            self._own.popitem(last=False)

    def difference(self, point: Point) -> dict[str, tuple[str, ...]]:
        """Nodes by the hash that they claim for it, when there is more than one; empty when all agree."""
        claims = dict(self._claims.get(point, ()))
        if point in self._own and claims:
            claims.setdefault(self._node, self._own[point])
        by_hash: dict[str, list[str]] = {}
        for node, content in claims.items():
            by_hash.setdefault(content, []).append(node)
        if len(by_hash) < 2:
            return {}
        return {content: tuple(sorted(by_hash[content])) for content in sorted(by_hash)}

    def contradicts_ours(self, standing: Standing) -> bool:
        """Whether we had other content at the revision that it claims to have."""
        if standing.epoch is None:
            return False
        ours = self._own.get(Point(standing.epoch.cluster_id, standing.received))
        return ours is not None and bool(standing.received_hash) and ours != standing.received_hash
