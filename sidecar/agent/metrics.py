"""Every metric of the sidecar, declared in one place (names: Prometheus base units).

Gauges are read from the node's status when they are scraped; counters and histograms are fed by the daemon
as things happen. Labels are bounded: kinds, resource types, reasons, states, never hosts or paths of users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Metrics"]

_FAST_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """The sidecar's registry.

    Args:
        status: Gives the status that gauges are read from.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_StatusGauges(status))
        self.convergence_seconds = Histogram(
            "meshd_config_convergence_seconds",
            "From the arrival of a revision to Envoy's acknowledgement of all of it.",
            buckets=_FAST_S,
            registry=self.registry,
        )
        self.compile_seconds = Histogram(
            "meshd_config_compile_seconds",
            "Time to turn one arrived revision into xDS resources.",
            buckets=_FAST_S,
            registry=self.registry,
        )
        self.pushes = Counter(
            "meshd_xds_pushes", "Responses sent to Envoy.", ["type"], registry=self.registry
        )
        self.nacks = Counter(
            "meshd_xds_nacks", "Resources that Envoy refused.", ["type"], registry=self.registry
        )
        self.watch_restarts = Counter(
            "meshd_store_watch_restarts", "Watches opened anew.", ["reason"], registry=self.registry
        )
        self.envoy_restarts = Counter(
            "meshd_envoy_restarts",
            "Times that Envoy ended and was started again.",
            registry=self.registry,
        )
        self.cache_failures = Counter(
            "meshd_cache_write_failures",
            "Last known good could not be written.",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _StatusGauges(Collector):
    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the registry must not scrape a node that is still being built."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The gauges, from the status of this moment."""
        status = self._status()
        config, store, envoy = status["config"], status["store"], status["envoy"]
        yield InfoMetricFamily(
            "meshd_build",
            "Versions.",
            {"version": status["version"], "envoy": str(envoy["version"] or "")},
        )
        stages = GaugeMetricFamily(
            "meshd_config_revision", "etcd revision by stage.", labels=["stage"]
        )
        stages.add_metric(["received"], config["revision_received"])
        stages.add_metric(["in_force"], config["revision_in_force"])
        yield stages
        yield _gauge(
            "meshd_config_stale_seconds",
            "Since the store was last in contact; 0 while it is.",
            config["age_s"] or 0,
        )
        yield _gauge(
            "meshd_store_up", "Whether the store is in contact.", store["state"] == "watching"
        )
        yield _gauge(
            "meshd_envoy_up", "Whether Envoy runs and is connected.", bool(envoy["connected"])
        )
        objects = GaugeMetricFamily(
            "meshd_config_objects", "Objects in force, by kind.", labels=["kind"]
        )
        for kind, count in status["objects"].items():
            objects.add_metric([kind], count)
        yield objects
        yield _gauge(
            "meshd_config_quarantined_objects",
            "Objects whose newest value is not in force because it is invalid or was refused.",
            len(status["quarantined"]),
        )
        resources = GaugeMetricFamily(
            "meshd_xds_resources", "Resources that Envoy should have, by type.", labels=["type"]
        )
        for name, count in status["resources"].items():
            resources.add_metric([name], count)
        yield resources
        yield _gauge(
            "meshd_services", "Services that the contexts of this host can see.", status["services"]
        )
        yield _gauge(
            "meshd_kept_hosts",
            "Hosts whose lease ran out and whose endpoints are kept all the same.",
            len(status["kept_hosts"]),
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], float(value))
    return family
