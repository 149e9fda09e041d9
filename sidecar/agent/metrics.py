"""Every metric of the sidecar, declared in one place (names: Prometheus base units).

Gauges are read from the node's status when they are scraped; counters and histograms are fed by the daemon
as things happen. Labels are bounded: kinds, resource types, reasons, states, never hosts or paths of users.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sidecar.gossip.events import Effect as GossipEffect
from sidecar.gossip.events import ProbeEnded
from sidecar.xds.events import (
    DeltaRequest,
    Effect,
    Event,
    ResourceRejected,
    SendResponse,
    StreamClosed,
    StreamOpened,
)
from store.keys import HostKey, parse_key
from store.objects.base import ObjectRef
from store.objects.kinds import Kind

__all__ = ["Metrics"]

_FAST_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """The sidecar's registry."""

    def __init__(self) -> None:
        # They would be a second series for each counter, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library gives it no types
        self.registry = CollectorRegistry()
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
        self.ack_seconds = Histogram(
            "meshd_xds_ack_seconds",
            "From sending a response to Envoy's answer, ACK or NACK.",
            buckets=_FAST_S,
            registry=self.registry,
        )
        self.pushes = Counter(
            "meshd_xds_pushes", "Responses sent to Envoy.", ["type"], registry=self.registry
        )
        self.nacks = Counter(
            "meshd_xds_nacks", "Resources that Envoy refused.", ["type"], registry=self.registry
        )
        self.cache_failures = Counter(
            "meshd_cache_write_failures",
            "Times that the last known good could no longer be written.",
            registry=self.registry,
        )
        self.secret_readings = Counter(
            "meshd_secret_readings",
            "Times that files of certificates were found to be new (taken) or unusable (broken).",
            ["outcome"],
            registry=self.registry,
        )
        self.probe_seconds = Histogram(
            "meshd_gossip_probe_seconds",
            "From a probe of another host to its answer, or to the end of the wait; the smallest bucket is 0.5 ms.",
            ["outcome"],
            buckets=_FAST_S,
            registry=self.registry,
        )
        self._sent_at_s: dict[str, float] = {}

    def dns(self, describe: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """Have what the DNS answers of each context did, looked up when somebody asks."""
        self.registry.register(_OfDns(describe))

    def gossip(self, told: GossipEffect) -> None:
        """Count one thing that gossip tells."""
        if isinstance(told, ProbeEnded):
            self.probe_seconds.labels(told.outcome.value).observe(told.took_s)

    def dialogue(self, said: Event | Effect, now_s: float) -> None:
        """Count one event or effect of the ADS session."""
        match said:
            case SendResponse():
                self.pushes.labels(_short(said.type_url)).inc()
                self._sent_at_s[said.nonce] = now_s
            case DeltaRequest(nonce=nonce) if nonce in self._sent_at_s:
                self.ack_seconds.observe(now_s - self._sent_at_s.pop(nonce))
            case ResourceRejected():
                self.nacks.labels(_short(said.type_url)).inc()
            case StreamOpened() | StreamClosed():
                self._sent_at_s.clear()
            case _:
                pass

    def text(self, status: Mapping[str, Any]) -> bytes:
        """Everything, in Prometheus' text format.

        Args:
            status: The sidecar's status of this moment, which gauges are read from.
        """
        now = CollectorRegistry()
        now.register(_FromStatus(status))
        return generate_latest(self.registry) + generate_latest(now)


class _OfDns(Collector):
    def __init__(self, describe: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._describe = describe

    def collect(self) -> Iterator[Metric]:
        contexts = self._describe()
        if contexts:
            counted = CounterMetricFamily(
                "meshd_dns_questions",
                "Captured DNS questions: answered from the mesh, forwarded to resolvers, or dropped.",
                labels=["outcome"],
            )
            for outcome in ("answered", "forwarded", "dropped"):
                counted.add_metric([outcome], sum(one[outcome] for one in contexts))
            yield counted


class _FromStatus(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield from _of_config(status)
        yield from _of_store(status["store"])
        yield from _of_envoy(status)
        yield _gauge(
            "meshd_services", "Services that the contexts of this host can see.", status["services"]
        )
        yield _gauge(
            "meshd_kept_hosts",
            "Hosts whose lease ran out and whose endpoints are kept all the same.",
            len(status["kept_hosts"]),
        )
        yield _gauge(
            "meshd_refused_workloads",
            "Workloads that do not serve since their hosts' admission records do not cover them.",
            len(status["refused_claims"]),
        )
        yield from _of_gossip(status["gossip"])
        yield from _of_relay(status["relay"])
        yield from _of_secrets(status)
        yield _gauge(
            "meshd_registered",
            "Whether the store holds this host's registration.",
            status["registration"]["state"] == "registered",
        )


def _of_config(status: Mapping[str, Any]) -> Iterator[Metric]:
    config, store = status["config"], status["store"]
    version = {"version": status["version"], "envoy": str(status["envoy"]["version"] or "")}
    yield InfoMetricFamily("meshd_build", "Versions.", version)
    stages = {
        "seen": store["revision"],
        "compiled": config["revision_received"],
        "acked": config["revision_in_force"],
    }
    yield _gauges("meshd_config_revision", "etcd revision by stage.", "stage", stages)
    yield _gauge(
        "meshd_config_stale_seconds",
        "Since the store was last in contact; 0 while it is.",
        config["age_s"] or 0,
    )
    source = {name: float(name == config["source"]) for name in ("etcd", "peers", "disk")}
    yield _gauges("meshd_config_source", "1 for who vouches for what is served.", "source", source)
    yield _gauges(
        "meshd_config_objects", "Objects in force, by kind.", "kind", _by_kind(status["objects"])
    )
    yield _gauges(
        "meshd_config_quarantined_objects",
        "Objects whose newest value is not in force because it is invalid or was refused.",
        "kind",
        _by_kind(Tally(_kind_of(row["key"]) for row in status["quarantined"])),
    )


def _of_store(store: Mapping[str, Any]) -> Iterator[Metric]:
    is_up = store["state"] == "watching"
    yield _gauge("meshd_store_up", "Whether the store is in contact.", is_up)
    restarts = CounterMetricFamily(
        "meshd_store_watch_restarts", "Watches opened anew.", labels=["reason"]
    )
    compacted = store["compactions"]
    restarts.add_metric(["compacted"], compacted)
    restarts.add_metric(["broken"], max(0, store["watches"] - 1 - compacted))
    yield restarts


def _of_envoy(status: Mapping[str, Any]) -> Iterator[Metric]:
    envoy = status["envoy"]
    is_up = bool(envoy["connected"])
    yield _gauge("meshd_envoy_up", "Whether Envoy runs and is connected.", is_up)
    yield _gauge("meshd_xds_streams", "Open ADS streams.", is_up)
    restarts = CounterMetricFamily(
        "meshd_envoy_restarts", "Times that Envoy ended and was started again."
    )
    restarts.add_metric([], envoy["restarts"])
    yield restarts
    yield _gauges(
        "meshd_xds_resources",
        "Resources that Envoy should have, by type.",
        "type",
        status["resources"],
    )
    refused = len(status["rejected"])
    yield _gauge("meshd_xds_rejected_resources", "Resources that Envoy refuses now.", refused)


def _of_gossip(gossip: Mapping[str, Any]) -> Iterator[Metric]:
    is_on = gossip["state"] != "off"
    yield _gauge("meshd_gossip_up", "Whether this host gossips.", is_on)
    if not is_on:
        return
    members = "Other hosts, by how they are held."
    yield _gauges("meshd_gossip_members", members, "state", gossip["members"])
    yield _gauge("meshd_gossip_queue_depth", "Pieces of news still to be told.", gossip["queued"])
    yield _gauge(
        "meshd_gossip_local_health_score",
        "How far this host trusts its own probes: 0 is well.",
        gossip["health"],
    )
    labels = ["direction", "kind"]
    packets = CounterMetricFamily(
        "meshd_gossip_packets", "Datagrams, and requests or answers over TCP.", labels=labels
    )
    octets = CounterMetricFamily(
        "meshd_gossip_bytes", "Bytes of them, sealed, without headers.", labels=labels
    )
    for row in gossip["traffic"]:
        packets.add_metric([row["direction"], row["kind"]], row["packets"])
        octets.add_metric([row["direction"], row["kind"]], row["bytes"])
    dropped = CounterMetricFamily("meshd_gossip_dropped", "What was not used.", labels=["reason"])
    for reason, count in gossip["dropped"].items():
        dropped.add_metric([reason], count)
    yield from (packets, octets, dropped)


def _of_relay(relay: Mapping[str, Any]) -> Iterator[Metric]:
    is_on = relay["state"] != "off"
    yield _gauge("meshd_relay_up", "Whether configuration is exchanged with peers.", is_on)
    if not is_on:
        return
    watching = "Whether this host is to hold a watch on etcd."
    yield _gauge("meshd_relay_watching", watching, relay["watching"])
    at_store = "Other hosts that have the same etcd in reach."
    yield _gauge("meshd_relay_peers_at_store", at_store, relay["peers_at_store"])
    yield _gauge("meshd_relay_serving", "Peers that pull from this host now.", relay["serving"])
    events = CounterMetricFamily(
        "meshd_relay_events", "What happened in the relay.", labels=["event"]
    )
    for name, count in relay["counters"].items():
        events.add_metric([name], count)
    yield events


def _of_secrets(status: Mapping[str, Any]) -> Iterator[Metric]:
    broken = status["secrets"]["broken"]
    kept = sum(row["keeps_old"] for row in broken)
    counts = {
        "held": status["secrets"]["held"] - kept,
        "kept": kept,
        "missing": len(broken) - kept,
    }
    text = "Certificates and bundles, by whether their files are in use (kept: older contents are)."
    yield _gauges("meshd_secrets", text, "state", counts)
    ends = {
        row["context"]: row["ends_at_s"]
        for row in status["identities"]
        if row["ends_at_s"] is not None
    }
    text = "When the certificate of a context's identity ends, seconds since 1970."
    yield _gauges("meshd_identity_expiry_timestamp_seconds", text, "context", ends)


def _by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of every kind, so that a series is there before its first object is."""
    return {**{kind.value: 0 for kind in Kind}, **counts}


def _kind_of(key: str) -> str:
    named = parse_key(key)
    if isinstance(named, ObjectRef):
        return named.kind.value
    return "HostRegistration" if isinstance(named, HostKey) else "other"


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], float(value))
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
