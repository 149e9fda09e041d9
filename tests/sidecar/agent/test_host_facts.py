"""What follows from one host's settings: ports counted up, workloads named, contexts made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.agent.host_facts import HostFacts
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.settings_layers import from_layers, layers
from sidecar.mesh.model import Protocol
from sidecar.mesh.source import ObjectInForce
from store.objects.base import MeshObject, ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import Kind
from store.objects.workload_group import WorkloadGroup
from store.snapshot import Entry


def settings(**told: Any) -> SidecarSettings:
    return from_layers(layers(None, {}, {"node": "vm-1", **told}))


def port(number: int, **told: Any) -> dict[str, Any]:
    return {"number": number, **told}


def test_inbound_ports_count_up_past_those_told() -> None:
    workloads = [
        {"service": "a", "ports": [port(80), port(81, inbound_port=15006)]},
        {"service": "b", "ports": [port(80)]},
    ]
    facts = HostFacts(settings(workloads=workloads), "10.0.0.1")
    found = [[p.inbound_port for p in workload.ports] for workload in facts.record().workloads]
    assert found == [[15007, 15006], [15008]]
    assert [p.bind.port for p in facts.builder().inbound] == [15007, 15006, 15008]


def test_the_record_says_where_peers_connect_and_what_the_workload_is() -> None:
    told = settings(
        labels={"app": "cart", "version": "v1"},
        locality="eu/a",
        workloads=[{"service": "cart", "labels": {"version": "v2"}, "ports": [port(80)]}],
    )
    record = json.loads(HostFacts(told, "10.0.0.1").record().encode())
    (workload,) = record["workloads"]
    assert (record["address"], record["locality"], record["state"]) == (
        "10.0.0.1",
        "eu/a",
        "serving",
    )
    assert (workload["name"], workload["labels"]) == ("cart-vm-1", {"app": "cart", "version": "v2"})
    assert workload["ports"] == [
        {"name": "http-80", "number": 80, "protocol": "HTTP", "targetPort": 15006}
    ]


GROUP = ObjectRef(Kind.WORKLOAD_GROUP, "default", "carts")


@dataclass
class InForce:
    model: MeshObject
    ref: ObjectRef = GROUP
    entry: Entry = field(default_factory=lambda: Entry("k", b"", 1, 1, 1))
    serves: bool = True
    outline: Mapping[str, Any] | None = None


def carts(ports: dict[str, int], **spec: Any) -> dict[ObjectRef, ObjectInForce]:
    """The mesh's objects with the group `carts` in them."""
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "carts", "namespace": "default"},
        "spec": {
            "metadata": {"labels": {"app": "cart"}},
            "template": {"ports": ports, "serviceAccount": "cart"},
            **spec,
        },
    }
    return {GROUP: InForce(WorkloadGroup.model_validate(document))}


def test_a_workload_without_its_group_is_left_out_and_the_group_is_missed() -> None:
    facts = HostFacts(settings(workloads=[{"group": "carts"}]), "10.0.0.1")
    assert facts.record().workloads == ()
    assert facts.missing_groups == (GROUP,)
    assert not facts.follow({})


def test_a_group_says_labels_ports_and_account() -> None:
    facts = HostFacts(settings(workloads=[{"group": "carts"}]), "10.0.0.1")
    assert facts.follow(carts({"http": 8080}))
    assert facts.missing_groups == ()
    (workload,) = facts.record().workloads
    assert (workload.name, workload.labels, workload.service_account) == (
        "carts-vm-1",
        {"app": "cart"},
        "cart",
    )
    (own,) = workload.ports
    assert (own.number, own.name, own.inbound_port) == (8080, "http", 15006)
    (port,) = facts.inbound()
    assert (port.app_port, port.protocol, port.labels) == (8080, Protocol.HTTP, {"app": "cart"})


def test_the_one_context_of_a_host_has_what_its_group_says() -> None:
    facts = HostFacts(settings(labels={"zone": "x"}, workloads=[{"group": "carts"}]), "10.0.0.1")
    facts.follow(carts({"http": 8080}))
    (context,) = facts.contexts()
    assert context.labels == {"app": "cart", "zone": "x"}
    listed = settings(contexts=[{"name": "web"}], workloads=[{"group": "carts"}])
    other = HostFacts(listed, "10.0.0.1")
    other.follow(carts({"http": 8080}))
    assert other.contexts()[0].labels == {}


def test_a_port_keeps_its_number_while_its_group_changes() -> None:
    facts = HostFacts(
        settings(workloads=[{"group": "carts"}, {"service": "b", "ports": [port(80)]}]), "10.0.0.1"
    )
    facts.follow(carts({"http": 8080}))
    assert not facts.follow(carts({"http": 8080}))
    assert facts.follow(carts({"grpc": 9090, "http": 8080}))
    numbers = {p.name: p.inbound_port for p in facts.record().workloads[0].ports}
    assert numbers == {"grpc": 15008, "http": 15007}
    assert facts.follow(carts({"grpc": 9090}))
    assert facts.inbound_port_numbers == {15006, 15008}
    assert not facts.follow({})
    assert facts.inbound_port_numbers == {15006, 15008}


def test_a_port_keeps_its_number_over_a_restart() -> None:
    told = settings(workloads=[{"group": "carts"}, {"service": "b", "ports": [port(80)]}])
    first = HostFacts(told, "10.0.0.1")
    first.follow(carts({"http": 8080}))
    first.follow(carts({"grpc": 9090, "http": 8080}))
    again = HostFacts(told, "10.0.0.1")
    again.recall(HostRegistration.model_validate_json(first.record().encode()))
    again.follow(carts({"grpc": 9090, "http": 8080, "more": 1}))
    numbers = {p.name: p.inbound_port for p in again.record().workloads[0].ports}
    assert numbers == {"grpc": 15008, "http": 15007, "more": 15009}
    assert again.record().workloads[1].ports[0].inbound_port == 15006


def test_ports_of_the_settings_beat_those_of_the_template() -> None:
    told = settings(workloads=[{"group": "carts", "service": "cart", "ports": [port(80)]}])
    facts = HostFacts(told, "10.0.0.1")
    facts.follow(carts({"http": 8080}))
    (workload,) = facts.record().workloads
    assert [p.number for p in workload.ports] == [80]
    assert list(facts.applications().values()) == [[("127.0.0.1", 80)]]


def test_the_probe_of_a_group_is_told_by_the_workloads_name() -> None:
    facts = HostFacts(settings(workloads=[{"group": "carts", "name": "c1"}]), "10.0.0.1")
    facts.follow(carts({}))
    assert facts.probes() == {}
    facts.follow(carts({}, probe={"tcpSocket": {"port": 8080}}))
    assert set(facts.probes()) == {"c1"}


def test_a_workload_takes_mutual_tls_once_the_identity_of_its_context_is_there() -> None:
    identity = {"directory": "/id", "trust_domain": "td", "trust_domain_aliases": ["old"]}
    told = settings(
        service_account="cart",
        identity=identity,
        workloads=[{"service": "cart", "ports": [port(80)]}],
    )
    facts = HostFacts(told, "10.0.0.1")
    (context,) = facts.contexts()
    assert context.identity is not None
    assert context.identity.spiffe_id == "spiffe://td/ns/default/sa/cart"
    assert context.identity.trust_domains == ("td", "old")
    (inbound,) = facts.builder().inbound
    assert inbound.identity == context.identity
    (workload,) = facts.record().workloads
    assert not workload.carries_tls
    assert facts.secure(frozenset({""}))
    assert not facts.secure(frozenset({""}))
    (workload,) = facts.record().workloads
    assert workload.carries_tls


def test_a_gateway_is_one_in_every_context() -> None:
    told = settings(role="gateway", labels={"istio": "ingressgateway"})
    (context,) = HostFacts(told, "10.0.0.1").contexts()
    assert context.is_gateway
    assert context.labels == {"istio": "ingressgateway"}


def test_peers_connect_to_a_gateways_own_servers() -> None:
    told = settings(
        role="gateway",
        workloads=[{"service": "edge", "ports": [port(80), port(443, app_port=8443)]}],
    )
    facts = HostFacts(told, "10.0.0.1")
    (workload,) = facts.record().workloads
    assert [(p.number, p.inbound_port) for p in workload.ports] == [(80, 80), (443, 8443)]
    assert facts.inbound() == ()
    assert facts.builder().options.gateway_ports == ((443, 8443),)
