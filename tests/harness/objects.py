"""Documents of each kind in one line, for tests that need many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.harness.catalogs import Document

__all__ = [
    "destination_rule",
    "gateway",
    "mesh_config",
    "registration",
    "service_entry",
    "sidecar",
    "virtual_service",
    "workload",
    "workload_entry",
]

HTTP_PORT: Mapping[str, object] = {"number": 80, "name": "http", "protocol": "HTTP"}


def virtual_service(
    name: str, hosts: Sequence[str], namespace: str = "default", **spec: object
) -> Document:
    """A VirtualService that sends everything to its first host, unless `spec` says otherwise."""
    target = hosts[0] if hosts and not hosts[0].startswith("*") else "reviews"
    rules = [{"route": [{"destination": {"host": target}}]}]
    return _object("VirtualService", name, namespace, {"hosts": hosts, "http": rules, **spec})


def destination_rule(name: str, host: str, namespace: str = "default", **spec: object) -> Document:
    """A DestinationRule without policy or subsets, unless `spec` gives some."""
    return _object("DestinationRule", name, namespace, {"host": host, **spec})


def service_entry(
    name: str, hosts: Sequence[str], namespace: str = "default", **spec: object
) -> Document:
    """A ServiceEntry with HTTP on port 80 and resolution STATIC, unless `spec` says otherwise."""
    defaults = {"hosts": hosts, "ports": [HTTP_PORT], "resolution": "STATIC"}
    return _object("ServiceEntry", name, namespace, {**defaults, **spec})


def workload_entry(
    name: str,
    address: str,
    labels: Mapping[str, str],
    namespace: str = "default",
    **spec: object,
) -> Document:
    """A WorkloadEntry."""
    return _object("WorkloadEntry", name, namespace, {"address": address, "labels": labels, **spec})


def sidecar(
    name: str, namespace: str = "default", hosts: Sequence[str] = ("*/*",), **spec: object
) -> Document:
    """A Sidecar with one egress listener for all ports that imports `hosts`."""
    return _object("Sidecar", name, namespace, {"egress": [{"hosts": list(hosts)}], **spec})


def gateway(
    name: str,
    selector: Mapping[str, str],
    namespace: str = "default",
    hosts: Sequence[str] = ("*",),
) -> Document:
    """A Gateway with one HTTP server on port 80."""
    servers = [{"port": HTTP_PORT, "hosts": list(hosts)}]
    return _object("Gateway", name, namespace, {"selector": selector, "servers": servers})


def mesh_config(**spec: object) -> Document:
    """The MeshConfig."""
    return {
        "apiVersion": "meshd.io/v1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
        "spec": spec,
    }


def registration(host: str, *workloads: Mapping[str, object], **fields: object) -> Document:
    """What a host registers; its address is 10.1.0.1 unless `fields` says otherwise."""
    return {
        "apiVersion": "meshd.io/v1",
        "kind": "HostRegistration",
        "host": host,
        "address": "10.1.0.1",
        "workloads": list(workloads),
        **fields,
    }


def workload(name: str, service: str = "", **fields: object) -> Mapping[str, object]:
    """One workload that serves HTTP on port 9080 behind inbound port 15080."""
    port = {"number": 9080, "name": "http", "protocol": "HTTP", "targetPort": 15080}
    return {"name": name, "service": service, "ports": [port], **fields}


def _object(kind: str, name: str, namespace: str, spec: Mapping[str, object]) -> Document:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
