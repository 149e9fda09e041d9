"""The mesh of `bench.scale`: services with all that a service usually has, and the changes made to one of them.

Each has a ServiceEntry with ten endpoints, a DestinationRule with three subsets and a VirtualService that sends some
requests to one subset by header and splits the rest between the others. All endpoints are addresses of this host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.published import PREFIX
from store.codec import encode
from store.etcd.client import EtcdClient
from store.transactions import Put, Transaction

__all__ = [
    "REGISTERED",
    "changed_endpoint",
    "changed_registration",
    "changed_route",
    "changed_rule",
    "host",
    "publish",
]

ENDPOINTS = 10
SUBSETS = 3
NAMESPACES = 20
REGISTERED = "registered.example.com"
"""A service that hosts register, without a ServiceEntry."""
BATCH_BYTES = 1_000_000
"""Bytes of one transaction: etcd takes 1.5 MiB."""
_API = "networking.istio.io/v1"


def host(number: int) -> str:
    """Host name of a service."""
    return f"service-{number}.example.com"


def publish(etcd: EtcdClient, count: int, upstream_port: int) -> int:
    """Put the mesh, in transactions as large as etcd takes; returns the revision of the last one."""
    revision, batch, size = 0, list[Put](), 0
    for put in _puts(count, upstream_port):
        batch.append(put)
        size += len(put.value)
        if size > BATCH_BYTES:
            revision = etcd.commit(Transaction((), tuple(batch))).revision
            batch, size = [], 0
    if batch:
        revision = etcd.commit(Transaction((), tuple(batch))).revision
    return revision


def changed_route(service: int, number: int) -> Put:
    """The VirtualService of a service, that now answers `number` in the header `x-change`."""
    return _route(service, {"x-change": str(number)})


def changed_endpoint(service: int, number: int, upstream_port: int) -> Put:
    """The ServiceEntry of a service, whose last endpoint now has another address."""
    return _entry(service, upstream_port, last=ENDPOINTS + 1 + number % 200)


def changed_rule(service: int, number: int) -> Put:
    """The DestinationRule of a service, that now allows another number of connections: its clusters are made anew."""
    return _rule(
        service, trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 1000 + number}}}
    )


def changed_registration(number: int, upstream_port: int) -> Put:
    """The registration of one of ten hosts that serve `REGISTERED`: another weight, and now and then it drains."""
    which = number % ENDPOINTS
    workload = {
        "name": "app",
        "service": REGISTERED,
        "weight": 1 + number // ENDPOINTS % 7,
        "state": "draining" if number // ENDPOINTS % 5 == 4 and which else "serving",
        "ports": [{"number": 80, "protocol": "HTTP", "targetPort": upstream_port}],
    }
    document = {
        "apiVersion": "meshd.io/v1",
        "kind": "HostRegistration",
        "host": f"churn-{which}",
        "address": f"127.0.0.{which + 1}",
        "workloads": [workload],
    }
    return Put(f"{PREFIX}hosts/churn-{which}", encode(document))


def _rule(number: int, **more: Any) -> Put:
    subsets = [
        {"name": f"v{which}", "labels": {"version": f"v{which}"}} for which in range(1, SUBSETS + 1)
    ]
    return _put(number, "DestinationRule", host=host(number), subsets=subsets, **more)


def _puts(count: int, upstream_port: int) -> Iterator[Put]:
    for number in range(count):
        yield _entry(number, upstream_port, last=ENDPOINTS)
        yield _rule(number)
        yield _route(number, {"x-change": "0"})


def _entry(number: int, upstream_port: int, *, last: int) -> Put:
    places = [*range(1, ENDPOINTS), last]
    endpoints = [
        {"address": f"127.0.0.{place}", "labels": {"version": f"v{1 + which % SUBSETS}"}}
        for which, place in enumerate(places)
    ]
    port = {"number": 80, "name": "http", "protocol": "HTTP", "targetPort": upstream_port}
    return _put(
        number,
        "ServiceEntry",
        hosts=[host(number)],
        location="MESH_INTERNAL",
        resolution="STATIC",
        ports=[port],
        endpoints=endpoints,
    )


def _route(number: int, answered: Mapping[str, str]) -> Put:
    def to(which: int, weight: int) -> Mapping[str, Any]:
        return {"destination": {"host": host(number), "subset": f"v{which}"}, "weight": weight}

    testers = {
        "match": [{"headers": {"end-user": {"exact": "tester"}}}],
        "route": [to(3, 100)],
    }
    others = {
        "route": [to(1, 90), to(2, 10)],
        "headers": {"response": {"set": dict(answered)}},
        "timeout": "10s",
    }
    return _put(number, "VirtualService", hosts=[host(number)], http=[testers, others])


def _put(number: int, kind: str, **spec: Any) -> Put:
    namespace, name = f"team-{number % NAMESPACES}", f"service-{number}"
    plural = {
        "ServiceEntry": "serviceentries",
        "DestinationRule": "destinationrules",
        "VirtualService": "virtualservices",
    }[kind]
    metadata = {"name": name, "namespace": namespace}
    document = {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}
    return Put(f"{PREFIX}ns/{namespace}/{plural}/{name}", encode(document))
