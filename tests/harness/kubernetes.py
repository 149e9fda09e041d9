"""Kubernetes' objects as the mesh would know them, for published examples that hold both.

A Service becomes a ServiceEntry, whatever runs (Pod, Deployment and the like) the registration of a host. Only
what names, ports, labels and visibility need: enough to ask what routes and selectors find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["as_mesh_objects"]

Document = Mapping[str, object]

_RUNNING = frozenset(("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"))
_VERSION = "networking.istio.io/v1"


def as_mesh_objects(documents: Sequence[Document]) -> Iterator[dict[str, object]]:
    """The Services and workloads among the documents, as documents of the mesh."""
    for number, document in enumerate(documents):
        metadata = _mapping(document.get("metadata"))
        place = {
            "name": metadata.get("name", "x"),
            "namespace": metadata.get("namespace", "default"),
        }
        if document.get("kind") == "Service":
            yield _service(document, place)
        elif document.get("kind") in _RUNNING:
            labels = metadata if document["kind"] == "Pod" else _template(document)
            yield {
                "apiVersion": "meshd.io/v1",
                "kind": "HostRegistration",
                "host": f"host-{number}",
                "address": f"10.9.{number // 250}.{number % 250 + 1}",
                "workloads": [{**place, "labels": dict(_mapping(labels.get("labels")))}],
            }


def _service(document: Document, place: Mapping[str, object]) -> dict[str, object]:
    spec = _mapping(document.get("spec"))
    ports = spec.get("ports")
    declared = ports if isinstance(ports, list) else []
    annotations = _mapping(_mapping(document.get("metadata")).get("annotations"))
    exported = annotations.get("networking.istio.io/exportTo")
    entry: dict[str, object] = {
        "hosts": [f"{place['name']}.{place['namespace']}.svc.cluster.local"],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [
            {
                "number": port["port"],
                "name": port.get("name", f"port-{port['port']}"),
                "protocol": "TCP" if str(port.get("name", "")).startswith("tcp") else "HTTP",
            }
            for port in declared
        ],
    }
    if spec.get("selector"):
        entry["workloadSelector"] = {"labels": spec["selector"]}
    if isinstance(exported, str):
        entry["exportTo"] = exported.split(",")
    return {"apiVersion": _VERSION, "kind": "ServiceEntry", "metadata": dict(place), "spec": entry}


def _template(document: Document) -> Mapping[str, object]:
    template = _mapping(_mapping(document.get("spec")).get("template"))
    return _mapping(template.get("metadata"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
