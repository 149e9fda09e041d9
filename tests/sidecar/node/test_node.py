"""The node: cores composed. What comes in from the store and Envoy, what goes out to them."""

from __future__ import annotations

import base64
import json

from sidecar.certificates.model import Material, workload_identity
from sidecar.node.events import (
    CompareRegistration,
    Desire,
    Effect,
    EnvoyAsked,
    EnvoyInForce,
    EnvoyRejected,
    HostsAnswered,
    HostsHeldAlive,
    KeepLastGood,
    LookedUp,
    LookUp,
    SecretsRead,
    SnapshotArrived,
    Source,
    Tick,
    Transition,
    WantSecrets,
)
from sidecar.node.node import Node
from sidecar.xds.events import ResourceRejected
from sidecar.xds.resource import DesiredChange, TypeUrl
from store.snapshot import Entry, Snapshot
from tests.harness.catalogs import Document
from tests.harness.nodes import EPOCH, VS_KEY, arrive, make_node, registration, virtual_service
from tests.harness.objects import destination_rule, service_entry
from tests.harness.objects import virtual_service as routes_of


def desired(effects: list[Effect]) -> DesiredChange:
    found = [effect.change for effect in effects if isinstance(effect, Desire)]
    assert found, f"nothing was desired: {effects}"
    return found[-1]


def hosts_of(change: DesiredChange) -> set[str]:
    return set(change.upserts.get(TypeUrl.VIRTUAL_HOST, {}))


def said(effects: list[Effect]) -> set[str]:
    return {effect.event for effect in effects if isinstance(effect, Transition)}


def test_a_snapshot_becomes_desired_state_with_its_label() -> None:
    node = make_node()
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])))
    assert any("probe.example.com" in name for name in hosts_of(change))
    assert change.label == f"{EPOCH}@5"


def test_only_what_changed_is_desired_again() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [virtual_service(5, 1), registration("h1", 4)])
    arrive(node, first)
    change = desired(arrive(node, first.apply([virtual_service(6, 2, "v2")], (), 6)))
    assert set(change.upserts) == {TypeUrl.VIRTUAL_HOST}
    assert all("probe" in name for name in hosts_of(change))


def test_a_revision_without_effect_is_told_by_its_label_alone() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
    arrive(node, first)
    change = desired(arrive(node, first.apply((), (), 9)))
    assert not change
    assert change.label == f"{EPOCH}@9"


def test_an_invalid_value_is_quarantined_and_the_last_valid_one_serves() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
    arrive(node, first)
    effects = arrive(node, first.apply([Entry(VS_KEY, b"\xff\xfe", 2, 6, 2)], (), 6))
    assert "object_quarantined" in said(effects)
    assert not desired(effects)
    (row,) = node.catalog.quarantined
    assert (row.revision, row.serving_revision) == (6, 5)


def test_an_invalid_value_without_memory_is_looked_up_in_the_store() -> None:
    node = make_node()
    effects = arrive(node, Snapshot.of(EPOCH, 6, [Entry(VS_KEY, b"nonsense: [", 2, 6, 2)]))
    (question,) = [effect for effect in effects if isinstance(effect, LookUp)]
    answer = node.handle(LookedUp(question.recall, virtual_service(5, 1)), 2.0)
    assert any("probe.example.com" in name for name in hosts_of(desired(answer)))


def test_what_envoy_refuses_goes_back_to_the_generation_before() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])
    accepted = desired(arrive(node, first)).upserts[TypeUrl.VIRTUAL_HOST]
    change = desired(arrive(node, first.apply([virtual_service(6, 2, "bad")], (), 6)))
    name, refused = next(iter(change.upserts[TypeUrl.VIRTUAL_HOST].items()))
    effects = node.handle(
        EnvoyRejected(
            ResourceRejected(
                TypeUrl.VIRTUAL_HOST, name, refused.version, "no such thing", refused.sources
            )
        ),
        3.0,
    )
    assert {"resource_rejected", "object_quarantined"} <= said(effects)
    again = desired(effects).upserts[TypeUrl.VIRTUAL_HOST][name]
    assert again.version == accepted[name].version


def test_one_bad_object_is_taken_back_once_however_many_resources_it_spoils() -> None:
    def stored(document: Document, folder: str, revision: int, version: int = 1) -> Entry:
        value = json.dumps(document).encode()
        return Entry(f"ns/default/{folder}/w", value, 2, revision, version)

    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    endpoint = {"address": "192.0.2.7", "labels": {"version": "v1"}}
    hosts = ["w.default.svc.cluster.local"]
    service = service_entry("w", hosts, ports=[port], resolution="STATIC", endpoints=[endpoint])
    both = [{"destination": {"host": "w", "subset": "v1"}}, {"destination": {"host": "w"}}]
    routes = routes_of("w", ["w"], http=[{"route": [{**one, "weight": 50} for one in both]}])
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    tls = {"tls": {"mode": "SIMPLE", "sni": "a.b", "insecureSkipVerify": True}}
    good = destination_rule("w", "w", subsets=subsets)
    bad = destination_rule("w", "w", subsets=subsets, trafficPolicy=tls)

    node = make_node()
    first = [stored(service, "serviceentries", 2), stored(routes, "virtualservices", 3)]
    snapshot = Snapshot.of(EPOCH, 5, [*first, stored(good, "destinationrules", 4)])
    arrive(node, snapshot)
    second = snapshot.apply([stored(bad, "destinationrules", 6, 2)], (), 6)
    spoilt = desired(arrive(node, second)).upserts[TypeUrl.CLUSTER].values()
    assert len(spoilt) == 2
    for resource in spoilt:
        told = ResourceRejected(
            TypeUrl.CLUSTER, resource.name, resource.version, "too long", resource.sources
        )
        node.handle(EnvoyRejected(told), 3.0)
    (row,) = node.catalog.quarantined
    assert (row.revision, row.serving_revision) == (6, 4)


def test_what_is_in_force_is_kept_and_a_stray_label_changes_nothing() -> None:
    node = make_node()
    label = desired(arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)]))).label
    assert node.handle(EnvoyInForce("stranger@1"), 1.0) == []
    (kept,) = node.handle(EnvoyInForce(label), 1.0)
    assert isinstance(kept, KeepLastGood)
    assert kept.snapshot.revision == 5
    assert node.in_force is not None
    assert node.in_force.label == label


def test_what_the_store_holds_under_ones_own_key_is_compared() -> None:
    node = make_node("h1")
    own = registration("h1", 6)
    for snapshot, entry in ((Snapshot.of(EPOCH, 5, []), None), (Snapshot.of(EPOCH, 6, [own]), own)):
        effects = arrive(node, snapshot)
        assert CompareRegistration(entry, snapshot.revision) in effects


def test_the_disk_says_nothing_about_ones_own_key() -> None:
    effects = make_node("h1").handle(SnapshotArrived(Snapshot.of(EPOCH, 5, []), Source.DISK), 0.0)
    assert not any(isinstance(effect, CompareRegistration) for effect in effects)


def test_a_store_of_a_newer_format_is_not_loaded_but_ones_own_key_is_seen_in_it() -> None:
    node = make_node("h1")
    newer = Entry("format", b'{"format": 99, "oldestReader": 99}', 3, 3, 1)
    own = registration("h1", 4)
    effects = arrive(node, Snapshot.of(EPOCH, 5, [newer, own]))
    assert "store_format_too_new" in said(effects)
    assert not any(isinstance(effect, Desire) for effect in effects)
    assert CompareRegistration(own, 5) in effects


def test_a_refusal_that_lies_in_the_host_quarantines_nothing() -> None:
    node = make_node()
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])))
    name, refused = next(iter(change.upserts[TypeUrl.VIRTUAL_HOST].items()))
    rejected = ResourceRejected(
        TypeUrl.VIRTUAL_HOST,
        name,
        refused.version,
        "Address already in use",
        refused.sources,
        conflict=True,
    )
    effects = node.handle(EnvoyRejected(rejected), 3.0)
    assert said(effects) == {"resource_rejected"}
    assert not node.catalog.quarantined


def test_a_refusal_of_what_a_registration_made_is_told_and_changes_nothing() -> None:
    node = make_node()
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 4)])))
    name, refused = next(iter(change.upserts[TypeUrl.ENDPOINTS].items()))
    rejected = ResourceRejected(
        TypeUrl.ENDPOINTS, name, refused.version, "malformed", refused.sources
    )
    effects = node.handle(EnvoyRejected(rejected), 3.0)
    assert said(effects) == {"resource_rejected"}
    assert not any(isinstance(effect, Desire) for effect in effects)


def test_a_refusal_of_what_a_service_entry_made_quarantines_it() -> None:
    node = make_node()
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "outside", "namespace": "default"},
        "spec": {
            "hosts": ["outside.example.com"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "192.0.2.7"}],
        },
    }
    entry = Entry("ns/default/serviceentries/outside", json.dumps(document).encode(), 5, 5, 1)
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [entry])))
    name, refused = next(
        (name, resource)
        for name, resource in change.upserts[TypeUrl.CLUSTER].items()
        if "outside" in name
    )
    rejected = ResourceRejected(TypeUrl.CLUSTER, name, refused.version, "no", refused.sources)
    effects = node.handle(EnvoyRejected(rejected), 3.0)
    assert "object_quarantined" in said(effects)
    (row,) = node.catalog.quarantined
    assert (row.key, row.serving_revision) == (entry.key, None)
    assert name in desired(effects).removals[TypeUrl.CLUSTER]


def test_a_question_of_envoys_before_the_first_snapshot_is_no_desired_state() -> None:
    node = make_node(budget_services=0)
    asked = "outbound/reviews:9080"
    assert node.handle(EnvoyAsked((asked,)), 0.5) == []
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 4)])))
    assert asked in hosts_of(change), "what was asked for is there with the first state"


def test_kept_registrations_outlive_a_restart_of_the_sidecar() -> None:
    node = make_node()
    hosts = [registration(f"h{number}", 4) for number in range(1, 5)]
    first = Snapshot.of(EPOCH, 5, hosts)
    arrive(node, first, 0.0)
    label = desired(arrive(node, first.apply((), ["hosts/h1"], 6), 10.0)).label
    (effect,) = node.handle(EnvoyInForce(label), 10.0)
    assert isinstance(effect, KeepLastGood)
    assert set(effect.kept) == {"h1"}
    again = make_node(kept=effect.kept)
    effects = again.handle(SnapshotArrived(effect.snapshot, Source.DISK), 100.0)
    assert set(again.registrations.registrations()) == {"h1", "h2", "h3", "h4"}
    assert set(again.registrations.kept()) == {"h1"}
    assert "removals_halted" not in said(effects)
    effects = arrive(again, effect.snapshot.apply([registration("h1", 7)], (), 7), 101.0)
    assert "host_returned" in said(effects)


def test_a_host_that_came_back_while_the_sidecar_was_down_is_not_kept() -> None:
    kept = make_node()
    arrive(kept, Snapshot.of(EPOCH, 5, [registration("h1", 4), registration("h2", 4)]))
    node = make_node(kept=dict(kept.registrations.registrations()))
    arrive(node, Snapshot.of(EPOCH, 9, [registration("h1", 8), registration("h2", 4)]))
    assert not node.registrations.kept()


def test_a_registration_that_ran_out_stays_until_nothing_speaks_for_it() -> None:
    node = make_node()
    hosts = [registration(f"h{number}", 4) for number in range(1, 6)]
    first = Snapshot.of(EPOCH, 5, hosts)
    arrive(node, first, 0.0)
    effects = arrive(node, first.apply((), ["hosts/h1"], 6), 10.0)
    assert "host_kept" in said(effects)
    assert not desired(effects), "a lease that ran out changed what Envoy has"
    node.handle(HostsAnswered(frozenset({"h1"})), 300.0)
    assert node.deadline() == 900.0, "evidence begins a new grace period of 600 s"
    effects = node.handle(Tick(), 901.0)
    assert "host_left" in said(effects)
    assert set(desired(effects).upserts) == {TypeUrl.ENDPOINTS}


def test_a_host_that_gossip_holds_alive_outlives_its_lease() -> None:
    node = make_node()
    hosts = [registration(f"h{number}", 4) for number in range(1, 6)]
    first = Snapshot.of(EPOCH, 5, hosts)
    arrive(node, first, 0.0)
    effects = arrive(node, first.apply((), ["hosts/h1"], 6), 10.0)
    assert "host_kept" in said(effects)
    assert not desired(effects), "a lease that ran out changed what Envoy has"
    node.handle(HostsHeldAlive(frozenset({"h1"})), 300.0)
    assert node.deadline() == 900.0, "evidence begins a new grace period of 600 s"
    effects = node.handle(Tick(), 901.0)
    assert "host_left" in said(effects)
    assert set(desired(effects).upserts) == {TypeUrl.ENDPOINTS}


def test_beyond_the_budget_hosts_are_given_when_asked_for() -> None:
    node = make_node(budget_services=0)
    first = desired(arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 4)])))
    assert not hosts_of(first)
    asked = "outbound/reviews:9080"
    (effect,) = node.handle(EnvoyAsked((asked,)), 2.0)
    assert isinstance(effect, Desire)
    assert set(effect.change.upserts[TypeUrl.VIRTUAL_HOST]) == {asked}
    assert TypeUrl.CLUSTER in effect.change.upserts
    assert TypeUrl.ENDPOINTS in effect.change.upserts


def test_hosts_that_went_while_the_sidecar_was_down_do_not_halt_removals() -> None:
    node = make_node()
    hosts = [registration(f"h{number}", 4) for number in range(1, 7)]
    node.handle(SnapshotArrived(Snapshot.of(EPOCH, 5, hosts), Source.DISK), 0.0)
    effects = arrive(node, Snapshot.of(EPOCH, 9, hosts[:3]), 1.0)
    assert "removals_halted" not in said(effects)
    assert "host_kept" in said(effects)


def test_a_conflict_with_a_sibling_or_the_host_quarantines_nothing() -> None:
    node = make_node()
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])))
    name, resource = next(iter(change.upserts[TypeUrl.VIRTUAL_HOST].items()))
    rejected = ResourceRejected(
        TypeUrl.VIRTUAL_HOST, name, resource.version, "taken", resource.sources, conflict=True
    )
    assert said(node.handle(EnvoyRejected(rejected), 3.0)) == {"resource_rejected"}
    assert node.catalog.quarantined == ()


def admission(host: str, revision: int, *namespaces: str) -> Entry:
    document = {
        "apiVersion": "meshd.io/v1",
        "kind": "Admission",
        "host": host,
        "publicKey": base64.b64encode(bytes(32)).decode(),
        "namespaces": namespaces,
    }
    return Entry(f"admission/{host}", json.dumps(document).encode(), 3, revision, 1)


def serving(node: Node) -> dict[str, list[str]]:
    hosts = node.registrations.registrations()
    return {host: [one.name for one in hosts[host].workloads] for host in sorted(hosts)}


def test_a_host_cannot_claim_workloads_of_another_namespace() -> None:
    node = make_node()
    first = Snapshot.of(EPOCH, 5, [registration("h1", 4), registration("h2", 5)])
    arrive(node, first)
    assert serving(node) == {"h1": ["reviews"], "h2": ["reviews"]}
    second = first.apply([admission("h2", 6, "shop")], (), 6)
    assert "workload_refused" in said(arrive(node, second))
    assert serving(node) == {"h1": ["reviews"], "h2": []}
    assert [(claim.host, claim.workload) for claim in node.refused_claims] == [
        ("h2", "default/reviews")
    ]
    third = second.apply([admission("h2", 7, "shop", "default")], (), 7)
    assert "workload_refused" not in said(arrive(node, third))
    assert serving(node) == {"h1": ["reviews"], "h2": ["reviews"]}
    assert node.refused_claims == []


IDENTITY = workload_identity("", ("/c", "/k", "/a"), "spiffe://td/x", ("td",))
HELD = {
    IDENTITY.certificate: Material(IDENTITY.certificate, certificate=b"c", key=b"k"),
    IDENTITY.authorities: Material(IDENTITY.authorities, authorities=b"a"),
}


def wanted(effects: list[Effect]) -> set[str]:
    found = [effect.sources for effect in effects if isinstance(effect, WantSecrets)]
    return {source.name for source in found[-1]} if found else set()


def test_an_identity_is_wanted_whether_or_not_anything_uses_it_and_given_to_envoy() -> None:
    node = make_node(identity=IDENTITY)
    effects = node.handle(SecretsRead(HELD), 0.0)
    assert wanted(effects) == {"default", "ROOTCA"}
    change = desired(arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)])))
    assert set(change.upserts[TypeUrl.SECRET]) == {"default", "ROOTCA"}


def test_a_renewed_secret_is_desired_alone() -> None:
    node = make_node(identity=IDENTITY)
    node.handle(SecretsRead(HELD), 0.0)
    arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)]))
    renewed = {**HELD, IDENTITY.certificate: Material(IDENTITY.certificate, b"c2", b"k2")}
    change = desired(node.handle(SecretsRead(renewed), 0.0))
    assert {kind: set(found) for kind, found in change.upserts.items()} == {
        TypeUrl.SECRET: {"default"}
    }
    assert not change.removals


def test_an_identity_that_comes_late_is_used_from_then_on() -> None:
    node = make_node(identity=IDENTITY)
    node.handle(SecretsRead({}, IDENTITY.secrets), 0.0)
    arrive(node, Snapshot.of(EPOCH, 5, [registration("h1", 4)]))
    assert not is_held(node)
    change = desired(node.handle(SecretsRead(HELD), 0.0))
    assert set(change.upserts[TypeUrl.SECRET]) == {"default", "ROOTCA"}
    assert is_held(node)


def is_held(node: Node) -> bool:
    identity = node.views[""].context.identity
    return identity is not None and identity.is_held


def test_what_names_files_that_nobody_looked_at_waits_for_them_and_is_told_as_one() -> None:
    node = make_node(identity=IDENTITY)
    effects = arrive(node, Snapshot.of(EPOCH, 5, [virtual_service(5, 1)]))
    assert wanted(effects) == {"default", "ROOTCA"}
    assert not any(isinstance(effect, Desire) for effect in effects)
    (told,) = (e for e in node.handle(SecretsRead(HELD), 0.0) if isinstance(e, Desire))
    assert told.change.label == f"{EPOCH}@5"
    assert set(told.change.upserts) > {TypeUrl.SECRET, TypeUrl.VIRTUAL_HOST}
