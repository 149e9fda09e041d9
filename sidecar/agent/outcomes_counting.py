"""From Envoy's load reports and counters to outcomes by destination and endpoint. Pure: no clock, no socket.

A report has successes, errors and attempts begun, of each endpoint with any. Its errors are sorted by

    refused  = ok + errors + active now - active before - begun      (they never got a connection)
    timeouts = growth of the endpoint's `rq_timeout`, where it was looked at
    external = errors - refused - timeouts

`refused` and `timeouts` may be our own fault and count as local. A reset is not told apart from an answer of 5xx by
anything that Envoy says of an endpoint, nor are 502, 503, 504 from other 5xx: they count as external. Of TCP, begun
connections are successes, and failures to connect come from the counters alone. All clusters of a destination (its
subsets, each context's) add up; each retry is an attempt of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sidecar.agent.outcomes_admin import EndpointCounters, Readings
from sidecar.agent.outcomes_reports import EndpointLoad
from sidecar.node.participants import ObservedCluster
from sidecar.outlier.events import EndpointName
from sidecar.outlier.model import Outcomes, Place

__all__ = ["EjectionClock", "OutcomeCounter"]

EndpointOfCluster = tuple[str, Place]


class OutcomeCounter:
    """Remembers what was counted before, for the clusters that are observed."""

    def __init__(self) -> None:
        self._clusters: Mapping[str, ObservedCluster] = {}
        self._active: dict[EndpointOfCluster, int] = {}
        self._read: dict[str, Mapping[Place, EndpointCounters]] = {}

    def observe(self, clusters: Mapping[str, ObservedCluster]) -> None:
        """Count the outcomes of these clusters from now on, in the place of those before."""
        self._clusters = clusters
        self._read = {name: rows for name, rows in self._read.items() if name in clusters}
        self._active = {at: count for at, count in self._active.items() if at[0] in clusters}

    def suspects(self, loads: Iterable[EndpointLoad]) -> frozenset[str]:
        """Clusters whose counters have something to say: those with errors, and those of TCP."""
        failing = {load.cluster for load in loads if load.errors and load.cluster in self._clusters}
        return frozenset(failing | self.tcp())

    def tcp(self) -> frozenset[str]:
        """Clusters whose failures no report tells."""
        return frozenset(name for name, one in self._clusters.items() if one.is_tcp)

    def count(
        self, loads: Iterable[EndpointLoad], readings: Readings
    ) -> dict[EndpointName, Outcomes]:
        """What came since the last time; endpoints with nothing to tell are left out.

        Args:
            loads: Everything that was reported since.
            readings: Counters of the clusters that were looked at meanwhile.
        """
        grown = self._growth(readings)
        found: dict[EndpointName, Outcomes] = {}
        for load in loads:
            observed = self._clusters.get(load.cluster)
            if observed is None:
                continue
            at = (load.cluster, load.place)
            if observed.is_tcp:
                outcomes = Outcomes(ok=load.begun)
            else:
                outcomes, timeouts = self._requests(load, grown.get(at, _NONE).timeouts)
                grown[at] = EndpointCounters(timeouts)
            _add(found, (observed.destination, load.place), outcomes)
        for (cluster, place), counters in grown.items():
            if self._clusters[cluster].is_tcp and counters.connect_failures:
                failed = Outcomes(local=counters.connect_failures)
                _add(found, (self._clusters[cluster].destination, place), failed)
        return found

    def _requests(self, load: EndpointLoad, timeouts: int) -> tuple[Outcomes, int]:
        """Outcomes of a load of requests, and how many of the time-outs are left for the loads that follow."""
        at = (load.cluster, load.place)
        ended = load.ok + load.errors
        refused = ended + load.active - self._active.pop(at, 0) - load.begun
        refused = min(max(0, refused), load.errors)
        late = min(timeouts, load.errors - refused)
        if load.active:
            self._active[at] = load.active
        external = load.errors - refused - late
        return Outcomes(ok=load.ok, external=external, local=refused + late), timeouts - late

    def _growth(self, readings: Readings) -> dict[EndpointOfCluster, EndpointCounters]:
        """How much counters have grown; one that shrank began anew (its host object was replaced)."""
        grown: dict[EndpointOfCluster, EndpointCounters] = {}
        for cluster, rows in readings.items():
            if cluster not in self._clusters:
                continue
            before = self._read.get(cluster)
            for place, now in rows.items():
                was = _NONE if before is None else before.get(place, _NONE)
                if now.timeouts < was.timeouts or now.connect_failures < was.connect_failures:
                    was = _NONE
                if before is None and self._clusters[cluster].is_tcp:
                    was = now  # The first look: these may be as old as Envoy.
                grown[cluster, place] = EndpointCounters(
                    now.timeouts - was.timeouts, now.connect_failures - was.connect_failures
                )
            self._read[cluster] = rows
        return grown


_NONE = EndpointCounters()


def _add(found: dict[EndpointName, Outcomes], endpoint: EndpointName, outcomes: Outcomes) -> None:
    if outcomes == Outcomes():
        return
    before = found.get(endpoint, Outcomes())
    found[endpoint] = Outcomes(
        ok=before.ok + outcomes.ok,
        external=before.external + outcomes.external,
        gateway=before.gateway + outcomes.gateway,
        local=before.local + outcomes.local,
    )


@dataclass(frozen=True, slots=True)
class _Past:
    """An ejection that ended."""

    times: int
    ended_s: float


class EjectionClock:
    """What Envoy's own detector has ejected, as its counters' health flags show, and when each ejection ends.

    Envoy tells neither when it ejected nor for how long: the time runs from when the flag was first seen, and is
    the base time times how often the endpoint was ejected without a base time of health between. Source: Envoy,
    outlier_detection_impl.cc (ejectHost, checkHostForUneject).
    """

    def __init__(self) -> None:
        self._until: dict[EndpointOfCluster, float] = {}
        self._times: dict[EndpointOfCluster, int] = {}
        self._past: dict[EndpointOfCluster, _Past] = {}

    def clusters(self) -> frozenset[str]:
        """Clusters with an ejection: they must be looked at to see it end."""
        return frozenset(cluster for cluster, _ in self._until)

    def until(self) -> Mapping[EndpointOfCluster, float]:
        """All that is ejected now, and when that ends at the earliest (seconds, the caller's clock)."""
        return dict(self._until)

    def read(
        self, readings: Readings, clusters: Mapping[str, ObservedCluster], now_s: float
    ) -> bool:
        """Take what a look found; whether anything is ejected or returned since.

        Args:
            readings: Of the clusters looked at: all others stay as they were, unless they are observed no more.
            clusters: The clusters that are observed.
            now_s: When it was looked.
        """
        ejected = {
            (cluster, place)
            for cluster, rows in readings.items()
            for place, counters in rows.items()
            if counters.is_ejected and cluster in clusters
        }
        ended = {
            at
            for at in self._until
            if at not in ejected and (at[0] in readings or at[0] not in clusters)
        }
        for at in ended:
            del self._until[at]
            self._past[at] = _Past(self._times.pop(at), now_s)
        fresh = ejected - self._until.keys()
        for at in fresh:
            one = clusters[at[0]]
            past = self._past.pop(at, None)
            is_again = past is not None and now_s - past.ended_s < one.base_ejection_s
            self._times[at] = past.times + 1 if past is not None and is_again else 1
            lasts_s = min(one.base_ejection_s * self._times[at], one.max_ejection_s)
            self._until[at] = now_s + lasts_s
        self._forget(clusters, now_s)
        return bool(ended or fresh)

    def _forget(self, clusters: Mapping[str, ObservedCluster], now_s: float) -> None:
        for at, past in list(self._past.items()):
            one = clusters.get(at[0])
            if one is None or now_s - past.ended_s >= one.base_ejection_s:
                del self._past[at]
