"""What follows from one host's settings: ports counted up, workloads named, contexts made."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sidecar.agent.host_facts import (
    ADDRESS_WITHIN_S,
    ANYWHERE,
    HostFacts,
    find_address,
    own_address,
)
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.settings_layers import from_layers, layers


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


def test_a_gateway_is_one_in_every_context() -> None:
    told = settings(role="gateway", labels={"istio": "ingressgateway"})
    (context,) = HostFacts(told, "10.0.0.1").contexts()
    assert context.is_gateway
    assert context.labels == {"istio": "ingressgateway"}


def test_an_address_that_is_told_is_taken() -> None:
    assert own_address(settings(address="10.1.2.3")) == "10.1.2.3"


def test_without_one_the_address_is_where_the_way_to_etcd_begins() -> None:
    told = settings(etcd={"endpoints": ["http://127.0.0.1:2379"]})
    assert own_address(told) == "127.0.0.1"


async def test_where_names_cannot_be_looked_up_in_time_the_default_route_decides(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A host that boots without DNS must come up, and must not register an address of loopback."""
    over = threading.Event()
    asked: list[str] = []

    def slow(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host == "etcd.example.com":
            over.wait(20)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("127.0.0.9", 9))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began_s = trio.current_time()
    try:
        told = settings(etcd={"endpoints": ["http://etcd.example.com:2379"]})
        assert await find_address(told) == "127.0.0.1"
        assert trio.current_time() - began_s == pytest.approx(ADDRESS_WITHIN_S)
        assert ANYWHERE[0] in asked
    finally:
        over.set()
