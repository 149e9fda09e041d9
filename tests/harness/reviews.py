"""The mesh that most end-to-end tests start from: a client's host, and reviews v1 and v2 on a host each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess

__all__ = ["REVIEWS", "reviews_mesh", "reviews_to"]

REVIEWS = "reviews:9080"
"""The authority that clients ask for."""
HOSTS = {"h1": "v1", "h2": "v2"}
"""Which version runs on which host."""


def reviews_to(subset: str, name: str = "reviews", host: str = "reviews") -> str:
    """Objects that send every request for `host` to one version of reviews."""
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  http:
  - route:
    - destination: {{host: reviews, subset: {subset}}}
"""


@contextmanager
def reviews_mesh(**settings: Any) -> Iterator[tuple[MeshFixture, SidecarProcess]]:
    """The mesh, and the client's sidecar; everything is registered and in force."""
    with MeshFixture(**settings) as mesh:
        client = mesh.sidecar("client", wait=False)
        for host, version in HOSTS.items():
            workload = mesh.workload(mesh.backend("reviews", version), 9080)
            mesh.sidecar(host, workload, wait=False)
        for sidecar in mesh.running():
            sidecar.wait_ready()
        mesh.wait_registered(*(mesh.sidecars[host] for host in HOSTS))
        yield mesh, client
