"""A node without a daemon, and what it is fed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from sidecar.certificates.model import Identity
from sidecar.mesh.model import Context
from sidecar.node.events import Effect, SnapshotArrived, Source
from sidecar.node.node import Node
from sidecar.xds.compile import Bind
from sidecar.xds.desired import Builder, BuilderSettings
from store.catalog.parts import CatalogMemory
from store.objects.host import HostRegistration
from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["EPOCH", "VS_KEY", "arrive", "make_node", "registration", "virtual_service"]

EPOCH = Epoch(1, 0xABC)
VS_KEY = "ns/default/virtualservices/probe"


def make_node(
    host: str = "me",
    budget_services: int = 500,
    kept: Mapping[str, HostRegistration] | None = None,
    put_off_from: int = 3_000,
    identity: Identity | None = None,
    memory: CatalogMemory = (),
) -> Node:
    """A node with one context."""
    settings = BuilderSettings(
        outbound={"": Bind("127.0.0.1", 15001)}, budget_services=budget_services
    )
    contexts = (Context("", "default", identity=identity),)
    return Node(
        host,
        contexts,
        lambda _: partial(Builder, settings)(),
        memory=memory,
        kept=kept,
        put_off_from=put_off_from,
    )


def virtual_service(revision: int, version: int, body: str = "v1") -> Entry:
    """VirtualService probe, which answers by itself with `body`."""
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {
            "hosts": ["probe.example.com"],
            "http": [{"directResponse": {"status": 200, "body": {"string": body}}}],
        },
    }
    return Entry(VS_KEY, json.dumps(document).encode(), 2, revision, version)


def registration(host: str, revision: int, state: str = "serving") -> Entry:
    """The key of a host with one endpoint of reviews; `h1` is at 10.0.0.1."""
    document = {
        "apiVersion": "meshd.io/v1",
        "kind": "HostRegistration",
        "host": host,
        "state": state,
        "address": f"10.0.0.{host[-1]}" if host[-1].isdigit() else "10.0.0.99",
        "workloads": [
            {
                "name": "reviews",
                "service": "reviews",
                "ports": [{"number": 9080, "protocol": "HTTP", "targetPort": 15006}],
            }
        ],
    }
    return Entry(f"hosts/{host}", json.dumps(document).encode(), revision, revision, 1)


def arrive(node: Node, snapshot: Snapshot, now_s: float = 1.0) -> list[Effect]:
    """The store publishes a snapshot."""
    return node.handle(SnapshotArrived(snapshot, Source.ETCD), now_s)
