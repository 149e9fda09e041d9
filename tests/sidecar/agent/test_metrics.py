"""Metrics: every declared one appears, under the names that alerts and dashboards go by."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.agent.metrics import Metrics
from sidecar.gossip.events import LeaveSpread, ProbeEnded, ProbeOutcome
from sidecar.xds.events import (
    DeltaRequest,
    InForce,
    ResourceRejected,
    SendResponse,
    StreamOpened,
)
from sidecar.xds.resource import TypeUrl

STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "config": {"revision_received": 41, "revision_in_force": 40, "age_s": None, "source": "etcd"},
    "store": {"state": "watching", "revision": 42, "watches": 5, "compactions": 1},
    "envoy": {"version": "1.40.0", "connected": True, "restarts": 2},
    "objects": {"VirtualService": 3},
    "quarantined": [
        {"key": "ns/default/virtualservices/a"},
        {"key": "hosts/h1"},
        {"key": "what/is/this"},
    ],
    "resources": {"clusters": 7},
    "rejected": [{}],
    "services": 12,
    "kept_hosts": [{}, {}],
    "refused_claims": [{}],
    "registration": {"state": "registered"},
    "secrets": {"held": 3, "broken": [{"keeps_old": True}, {"keeps_old": False}]},
    "identities": [
        {"context": "web", "ends_at_s": 2e9},
        {"context": "batch", "ends_at_s": None},
    ],
    "gossip": {
        "state": "on",
        "members": {"alive": 3, "suspect": 0, "dead": 1, "left": 2},
        "queued": 4,
        "health": 1,
        "traffic": [{"direction": "in", "kind": "datagram", "packets": 7, "bytes": 900}],
        "dropped": {"datagram_not_opened": 5},
    },
    "relay": {
        "state": "on",
        "watching": False,
        "peers_at_store": 3,
        "serving": 2,
        "counters": {"adopted": 6},
    },
}

NAMES = {
    "meshd_build_info",
    "meshd_config_revision",
    "meshd_config_stale_seconds",
    "meshd_config_convergence_seconds",
    "meshd_config_objects",
    "meshd_config_quarantined_objects",
    "meshd_config_compile_seconds",
    "meshd_store_up",
    "meshd_store_watch_restarts",
    "meshd_xds_pushes",
    "meshd_xds_nacks",
    "meshd_xds_ack_seconds",
    "meshd_xds_streams",
    "meshd_xds_resources",
    "meshd_xds_rejected_resources",
    "meshd_envoy_up",
    "meshd_envoy_restarts",
    "meshd_services",
    "meshd_kept_hosts",
    "meshd_refused_workloads",
    "meshd_gossip_probe_seconds",
    "meshd_registered",
    "meshd_cache_write_failures",
    "meshd_secrets",
    "meshd_secret_readings",
    "meshd_identity_expiry_timestamp_seconds",
    "meshd_gossip_up",
    "meshd_gossip_members",
    "meshd_gossip_queue_depth",
    "meshd_gossip_local_health_score",
    "meshd_gossip_packets",
    "meshd_gossip_bytes",
    "meshd_gossip_dropped",
    "meshd_config_source",
    "meshd_relay_up",
    "meshd_relay_watching",
    "meshd_relay_peers_at_store",
    "meshd_relay_serving",
    "meshd_relay_events",
}


def scraped(metrics: Metrics, **changes: Any) -> dict[str, float]:
    """Samples, each as `name{label="value"}`."""
    text = metrics.text({**STATUS, **changes}).decode()
    return {
        sample.name + "".join(f'{{{k}="{v}"}}' for k, v in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_has_its_name_its_text_and_appears_once() -> None:
    text = Metrics().text(STATUS).decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert set(names) == NAMES
    assert all(family.documentation for family in families)
    assert all(re.fullmatch(r"meshd_[a-z]+(_[a-z]+)*", name) for name in names)


def test_gauges_are_read_from_the_status_of_the_moment() -> None:
    found = scraped(Metrics())
    expected = {
        'meshd_config_revision{stage="seen"}': 42,
        'meshd_config_revision{stage="compiled"}': 41,
        'meshd_config_revision{stage="acked"}': 40,
        "meshd_config_stale_seconds": 0,
        'meshd_config_objects{kind="VirtualService"}': 3,
        'meshd_config_objects{kind="Gateway"}': 0,
        'meshd_config_quarantined_objects{kind="VirtualService"}': 1,
        'meshd_config_quarantined_objects{kind="HostRegistration"}': 1,
        'meshd_config_quarantined_objects{kind="other"}': 1,
        "meshd_store_up": 1,
        'meshd_store_watch_restarts_total{reason="compacted"}': 1,
        'meshd_store_watch_restarts_total{reason="broken"}': 3,
        "meshd_envoy_restarts_total": 2,
        "meshd_kept_hosts": 2,
        "meshd_refused_workloads": 1,
        "meshd_registered": 1,
        "meshd_gossip_up": 1,
        'meshd_gossip_members{state="left"}': 2,
        "meshd_gossip_queue_depth": 4,
        "meshd_gossip_local_health_score": 1,
        'meshd_gossip_bytes_total{direction="in"}{kind="datagram"}': 900,
        'meshd_gossip_packets_total{direction="in"}{kind="datagram"}': 7,
        'meshd_gossip_dropped_total{reason="datagram_not_opened"}': 5,
        'meshd_config_source{source="etcd"}': 1,
        'meshd_config_source{source="peers"}': 0,
        "meshd_relay_up": 1,
        "meshd_relay_watching": 0,
        "meshd_relay_peers_at_store": 3,
        "meshd_relay_serving": 2,
        'meshd_relay_events_total{event="adopted"}': 6,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_store_out_of_contact_is_down_and_the_configuration_ages() -> None:
    config = {**STATUS["config"], "age_s": 12.5}
    found = scraped(Metrics(), config=config, store={**STATUS["store"], "state": "backoff"})
    assert found["meshd_store_up"] == 0
    assert found["meshd_config_stale_seconds"] == 12.5


def test_probes_are_timed_by_how_they_ended() -> None:
    metrics = Metrics()
    for outcome, took_s in ((ProbeOutcome.ANSWERED, 0.003), (ProbeOutcome.SILENT, 1.0)):
        metrics.gossip(ProbeEnded("h2", outcome, took_s))
    metrics.gossip(LeaveSpread())
    found = scraped(metrics)
    assert found['meshd_gossip_probe_seconds_count{outcome="answered"}'] == 1
    assert found['meshd_gossip_probe_seconds_sum{outcome="silent"}'] == 1.0


def test_where_gossip_is_off_nothing_is_said_of_members() -> None:
    found = scraped(Metrics(), gossip={"state": "off", "reason": "there is no key"})
    assert found["meshd_gossip_up"] == 0
    assert not [name for name in found if "members" in name]


def push(nonce: str) -> SendResponse:
    return SendResponse(1, TypeUrl.CLUSTER, nonce, (), (), "1@5")


def test_the_dialogue_with_envoy_is_counted_by_type_and_timed() -> None:
    metrics = Metrics()
    metrics.dialogue(push("1.1"), 1.0)
    metrics.dialogue(push("1.2"), 1.0)
    metrics.dialogue(DeltaRequest(1, TypeUrl.CLUSTER, nonce="1.1"), 1.25)
    metrics.dialogue(DeltaRequest(1, TypeUrl.CLUSTER, subscribe=("a",)), 1.5)
    metrics.dialogue(ResourceRejected(TypeUrl.ROUTES, "r", "v", "no", ()), 1.5)
    metrics.dialogue(InForce("1@5"), 2.0)
    found = scraped(metrics)
    assert found['meshd_xds_pushes_total{type="Cluster"}'] == 2
    assert found['meshd_xds_nacks_total{type="RouteConfiguration"}'] == 1
    assert found["meshd_xds_ack_seconds_count"] == 1
    assert found["meshd_xds_ack_seconds_sum"] == pytest.approx(0.25)


def test_what_a_lost_stream_never_answered_is_forgotten() -> None:
    metrics = Metrics()
    metrics.dialogue(push("1.1"), 1.0)
    metrics.dialogue(StreamOpened(2), 2.0)
    metrics.dialogue(DeltaRequest(2, TypeUrl.CLUSTER, nonce="1.1"), 900.0)
    assert scraped(metrics)["meshd_xds_ack_seconds_count"] == 0


def test_certificates_are_counted_by_what_serves_and_ends_are_told() -> None:
    found = scraped(Metrics())
    states = {"held": 2.0, "kept": 1.0, "missing": 1.0}
    for state, count in states.items():
        assert found[f'meshd_secrets{{state="{state}"}}'] == count
    assert found['meshd_identity_expiry_timestamp_seconds{context="web"}'] == 2e9
