"""The mesh that is published: so many services, each with two endpoints, two subsets and a weighted route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from store.codec import encode
from store.etcd.client import EtcdClient

__all__ = ["PROBE_HOST", "probe", "probe_key", "publish", "services"]

PREFIX = "/meshd/v1/"
PROBE_HOST = "probe.example.com"
"""Host name of the route that changes."""
_API = "networking.istio.io/v1"


def services(count: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Keys and documents of `count` services, three objects each, over 20 namespaces."""
    for number in range(count):
        namespace, name = f"team-{number % 20}", f"service-{number}"
        host = f"{name}.example.com"
        metadata = {"name": name, "namespace": namespace}
        place = f"ns/{namespace}"
        ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
        endpoints = [
            {
                "address": f"10.{number // 250}.{number % 250}.{which}",
                "labels": {"version": f"v{which}"},
            }
            for which in (1, 2)
        ]
        yield (
            f"{place}/serviceentries/{name}",
            _object(
                "ServiceEntry",
                metadata,
                hosts=[host],
                location="MESH_INTERNAL",
                resolution="STATIC",
                ports=ports,
                endpoints=endpoints,
            ),
        )
        subsets = [{"name": f"v{which}", "labels": {"version": f"v{which}"}} for which in (1, 2)]
        yield (
            f"{place}/destinationrules/{name}",
            _object("DestinationRule", metadata, host=host, subsets=subsets),
        )
        route = [
            {"destination": {"host": host, "subset": f"v{which}"}, "weight": weight}
            for which, weight in ((1, 90), (2, 10))
        ]
        yield (
            f"{place}/virtualservices/{name}",
            _object("VirtualService", metadata, hosts=[host], http=[{"route": route}]),
        )


def probe(number: int) -> bytes:
    """The stored route of the probe: it answers `number` in the header `x-change`."""
    rule = {
        "directResponse": {"status": 200, "body": {"string": "probe"}},
        "headers": {"response": {"set": {"x-change": str(number)}}},
    }
    metadata = {"name": "probe", "namespace": "default"}
    return encode(_object("VirtualService", metadata, hosts=[PROBE_HOST], http=[rule]))


def probe_key() -> str:
    """The etcd key of the probe's route."""
    return f"{PREFIX}ns/default/virtualservices/probe"


def publish(client: EtcdClient, count: int) -> int:
    """Put the mesh and the probe's first route; returns the revision that has all of it."""
    for key, document in services(count):
        client.put(PREFIX + key, encode(document))
    return client.put(probe_key(), probe(0))


def _object(kind: str, metadata: Mapping[str, str], **spec: Any) -> Mapping[str, Any]:
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}
