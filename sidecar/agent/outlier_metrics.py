"""Metrics of shared ejection. Labels are clusters of destinations that take part, named as Envoy's own statistics are.

Counters are fed as verdicts change; gauges are read from the view when they are scraped, so that a series of an
endpoint exists only while it is ejected.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.outlier.events import Imposed, VerdictChanged
from sidecar.outlier.model import Destination
from sidecar.outlier.view import OutlierView

__all__ = ["OutlierMetrics"]


class OutlierMetrics(Collector):
    """`meshd_outlier_*`.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._view: Callable[[], OutlierView] | None = None
        self._ejections = Counter(
            "meshd_outlier_ejections",
            "Ejections that began, by evidence of the mesh (gossip) or by this host's Envoy alone (local).",
            ["cluster", "reason", "origin"],
            registry=registry,
        )
        self._refused = Counter(
            "meshd_outlier_refused",
            "Endpoints that enough hosts accuse and that were not ejected all the same.",
            ["cluster", "reason"],
            registry=registry,
        )
        registry.register(self)

    def watch(self, view: Callable[[], OutlierView]) -> None:
        """Read gauges from this view from now on."""
        self._view = view

    def verdict(self, change: VerdictChanged) -> None:
        """Count a verdict."""
        cluster = _cluster(change.destination)
        if change.verdict == "ejected":
            self._ejections.labels(cluster, change.reason, "gossip").inc()
        elif change.verdict == "withheld":
            self._refused.labels(cluster, change.reason).inc()

    def ejected_locally(self, destination: Destination) -> None:
        """Count an ejection by our own Envoy's detector."""
        self._ejections.labels(_cluster(destination), "detector", "local").inc()

    def collect(self) -> Iterator[Metric]:
        """What holds now."""
        view = None if self._view is None else self._view()
        if view is None:
            return
        by_cluster = GaugeMetricFamily(
            "meshd_outlier_ejected_endpoints",
            "Endpoints that this host's Envoy leaves out, by its own detector or by evidence of the mesh.",
            labels=["cluster"],
        )
        each = GaugeMetricFamily(
            "meshd_outlier_endpoint_ejected",
            "1 for each endpoint that is left out; there is no series of others.",
            labels=["cluster", "endpoint"],
        )
        out = [
            row for row in view.endpoints if row.imposed is Imposed.EJECTED or row.locally_ejected
        ]
        for cluster, count in sorted(Tally(_cluster(row.destination) for row in out).items()):
            by_cluster.add_metric([cluster], count)
        for row in out:
            endpoint = f"{row.place.address}:{row.place.port}"
            each.add_metric([_cluster(row.destination), endpoint], 1)
        yield by_cluster
        yield each
        yield _gauge("destinations", "Destinations that take part here.", view.destinations)
        yield _gauge(
            "rows_said", "Rows of evidence of this host that the mesh has.", view.rows_said
        )
        yield _gauge("rows_held", "Living rows of evidence of other hosts.", view.rows_held)
        yield _gauge(
            "self_sick", "1 while most of what this host talks to fails.", float(view.self_sick)
        )
        events = CounterMetricFamily(
            "meshd_outlier_events", "What shared ejection did, by kind.", labels=["kind"]
        )
        for kind, count in sorted(view.counters.items()):
            events.add_metric([kind], count)
        yield events


def _cluster(destination: Destination) -> str:
    return f"outbound|{destination.port}||{destination.host}"


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"meshd_outlier_{name}", text)
    family.add_metric([], value)
    return family
