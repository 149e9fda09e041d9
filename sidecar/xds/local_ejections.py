"""Ejections of Envoy's own detector that a change of their cluster would lift too early.

A changed cluster is a new one to Envoy: it forgets what it had ejected (measured, docs/xds.md M4). So what is known to
be ejected when a cluster changes is held here and imposed through its endpoints until its time is over. Knows neither
why an endpoint was ejected nor what peers think of it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.outlier.model import Place

__all__ = ["EjectedUntil", "LocalEjections"]

EjectedUntil = Mapping[tuple[str, Place], float]
"""(cluster, endpoint) that Envoy's own detector has ejected now, to when that ends (monotonic seconds)."""


class LocalEjections:
    """What Envoy has ejected by itself, and what of it is held over a change of its cluster."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[Place, float]] = {}
        self._held: dict[str, dict[Place, float]] = {}

    def seen(self, ejected: EjectedUntil) -> None:
        """Take what Envoy has ejected now, in the place of what it had."""
        self._seen = {}
        for (cluster, place), until_s in ejected.items():
            self._seen.setdefault(cluster, {})[place] = until_s

    def changed(self, cluster: str, *, detects: bool) -> None:
        """The cluster is made anew: hold what it had ejected, if it still `detects` outliers."""
        lost = self._seen.pop(cluster, {})
        if detects and lost:
            held = self._held.setdefault(cluster, {})
            for place, until_s in lost.items():
                held[place] = max(until_s, held.get(place, until_s))
        elif not detects:
            self._held.pop(cluster, None)

    def forget(self, cluster: str) -> None:
        """The cluster is gone."""
        self._seen.pop(cluster, None)
        self._held.pop(cluster, None)

    def forget_all(self) -> None:
        """Envoy started anew: it has ejected nothing, and nothing of its past counts."""
        self._seen.clear()
        self._held.clear()

    def held(self, cluster: str) -> Mapping[Place, float]:
        """The endpoints of a cluster that are held, and until when."""
        return self._held.get(cluster, {})

    def all_held(self) -> frozenset[tuple[str, Place]]:
        """Everything that is held, as (cluster, endpoint)."""
        return frozenset(
            (cluster, place) for cluster, places in self._held.items() for place in places
        )

    def expire(self, now_s: float) -> frozenset[str]:
        """Let go of what is over; the clusters that it was held in."""
        touched = set()
        for cluster, places in list(self._held.items()):
            kept = {place: until_s for place, until_s in places.items() if until_s > now_s}
            if len(kept) < len(places):
                touched.add(cluster)
            if kept:
                self._held[cluster] = kept
            else:
                del self._held[cluster]
        return frozenset(touched)

    def deadline(self) -> float | None:
        """When the next is over; None while nothing is held."""
        return min((at for places in self._held.values() for at in places.values()), default=None)
