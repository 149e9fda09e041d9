"""Objects that somebody else wrote, made a mesh that compiles whole: what they name and do not bring is added.

Services that rules lead to, gateways that rules are bound to, and files of certificates. Every workload that an object
speaks of (a namespace, a Sidecar's or a rule's labels, a Gateway's selector) gets a context of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sidecar.mesh.model import Context, MeshChange, Protocol
from sidecar.routing.table import InboundKey
from sidecar.xds import protos as pb
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.desired import Builder, BuilderSettings
from sidecar.xds.resource import Resource, TypeUrl
from tests.harness.catalogs import Document
from tests.harness.identities import materials_of
from tests.harness.worlds import World

__all__ = ["compile_corpus", "movable"]

CONTEXTS_MAX = 12
"""Workloads of one mesh at most; more would be more of the same."""
_FILES = {
    "serverCertificate": "server.pem",
    "clientCertificate": "client.pem",
    "caCertificates": "ca.pem",
    "caCrl": "none.pem",
}
_KEYS = {"serverCertificate": "server.key", "clientCertificate": "client.key"}
_CREDENTIALS = ("credentialName", "caCertCredentialName")


def compile_corpus(
    documents: Iterable[Document], folder: Path, *, on_demand: bool = False
) -> list[Resource]:
    """Everything that an Envoy would have that all workloads of these objects share.

    Args:
        documents: The objects.
        folder: Where `write_certificates` has put its files.
        on_demand: Give what Envoy gets when it asks for every host of the mesh, and for one that is not there.
    """
    objects = [_with_files(document, folder) for document in documents]
    contexts = _contexts(objects)
    world = World(*contexts)
    for document in [*_missing(objects), *objects]:
        world.change(document)
    port = InboundPort(
        InboundKey(15006), Bind("127.0.0.1", 15006), "127.0.0.1", 9080, Protocol.HTTP, number=9080
    )
    sidecars = [one for one in contexts if not one.is_gateway]
    settings = BuilderSettings(
        outbound={one.name: Bind("127.0.0.1", 15001) for one in sidecars},
        inbound=(port,),
        options=CompileOptions(
            own_addresses=("127.0.0.1",), credentials=str(folder / "credentials")
        ),
    )
    builder = Builder(settings)
    builder.update(world.views, MeshChange(everything=True), "e@1")
    if on_demand:
        asked = set(_authorities(builder))
        builder = Builder(replace(settings, budget_services=0))
        builder.update(world.views, MeshChange(everything=True), "e@1")
        builder.ask(asked)
    builder.put_secrets(materials_of(builder.secrets))
    return [one for made in builder.resources.values() for one in made.values()]


def _authorities(builder: Builder) -> Iterator[str]:
    """Full names, `<route config>/<authority>`, of all that the outbound listeners have when loaded whole."""
    for name, made in builder.resources.get(TypeUrl.VIRTUAL_HOST, {}).items():
        routes = name.rpartition("/")[0]
        if routes.startswith("outbound"):
            yield f"{routes}/nowhere.example.com"
            for domain in pb.VirtualHost.FromString(made.body).domains:
                if "*" not in domain:
                    yield f"{routes}/{domain.lower()}"


def movable(made: Resource, folder: Path) -> Resource:
    """The resource as it can be on any machine: listeners on free ports of loopback, names that resolve."""
    if made.type_url is TypeUrl.LISTENER:
        listener = pb.Listener.FromString(made.body)
        if listener.address.HasField("pipe"):
            name = sha256(made.name.encode()).hexdigest()[:16]
            listener.address.pipe.path = str(folder / name)
        else:
            listener.address.socket_address.address = "127.0.0.1"
            listener.address.socket_address.port_value = 0
        return _changed(made, listener)
    if made.type_url is TypeUrl.CLUSTER:
        cluster = pb.Cluster.FromString(made.body)
        if cluster.cluster_type.name != "envoy.cluster.dns":
            return made
        for locality in cluster.load_assignment.endpoints:
            for one in locality.lb_endpoints:
                one.endpoint.address.socket_address.address = "localhost"
        return _changed(made, cluster)
    return made


def _changed(made: Resource, message: Any) -> Resource:
    body = message.SerializeToString(deterministic=True)
    return replace(made, body=body, version=sha256(body).hexdigest()[:32])


# -- workloads ----------------------------------------------------------------------------------------


def _contexts(objects: Iterable[Document]) -> tuple[Context, ...]:
    sidecars: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    gateways: dict[tuple[tuple[str, str], ...], None] = {}
    for document in objects:
        spec: Any = document["spec"]
        sidecars[_namespace(document), ()] = None
        for labels in _labels(document["kind"], spec):
            sidecars[_namespace(document), tuple(sorted(labels.items()))] = None
        if document["kind"] == "Gateway":
            gateways[tuple(sorted((spec.get("selector") or _GATEWAY).items()))] = None
        if document["kind"] == "VirtualService" and spec.get("gateways"):
            gateways[tuple(sorted(_GATEWAY.items()))] = None
    made = [Context("", name, dict(labels)) for name, labels in list(sidecars)[:CONTEXTS_MAX]]
    made += [
        Context("", "istio-system", dict(labels), is_gateway=True)
        for labels in list(gateways)[:CONTEXTS_MAX]
    ]
    return tuple(replace(one, name=f"c{number}") for number, one in enumerate(made))


def _labels(kind: object, spec: Any) -> Iterator[Mapping[str, str]]:
    """Labels of workloads that an object speaks of."""
    if kind == "Sidecar":
        yield (spec.get("workloadSelector") or {}).get("labels") or {}
    elif kind == "DestinationRule":
        yield (spec.get("workloadSelector") or {}).get("matchLabels") or {}
    elif kind == "VirtualService":
        for block in (
            block
            for part in ("http", "tls", "tcp")
            for rule in spec.get(part) or ()
            for block in rule.get("match") or ()
        ):
            yield block.get("sourceLabels") or {}


def _namespace(document: Document) -> str:
    metadata: Any = document["metadata"]
    return str(metadata.get("namespace") or "default")


# -- what objects name and do not bring -----------------------------------------------------------------

_GATEWAY = {"stub": "gateway"}


def _missing(objects: Iterable[Document]) -> Iterator[Document]:
    objects = list(objects)
    yield from _services(objects)
    yield from _gateways(objects)


def _services(objects: list[Document]) -> Iterator[Document]:
    known = {
        host
        for document in objects
        if document["kind"] == "ServiceEntry"
        for host in document["spec"]["hosts"]  # type: ignore[index] # it was judged to be valid
    }
    named: dict[tuple[str, str], dict[int, str]] = {}
    for document in objects:
        for host, port, protocol in _destinations(document):
            namespace = _namespace(document)
            full = host if "." in host else f"{host}.{namespace}.svc.cluster.local"
            if "*" not in full and full not in known:
                named.setdefault((full, namespace), {}).setdefault(port, protocol)
    for number, ((host, namespace), ports) in enumerate(named.items()):
        yield _stub(
            "ServiceEntry",
            f"stub-{number}",
            namespace,
            {
                "hosts": [host],
                "resolution": "STATIC",
                "ports": [
                    {"number": port, "name": f"p{port}", "protocol": protocol}
                    for port, protocol in ports.items()
                ],
                "endpoints": [
                    {"address": "127.0.0.1", "labels": {"version": version}}
                    for version in ("v1", "v2", "v3")
                ],
            },
        )


def _destinations(document: Document) -> Iterator[tuple[str, int, str]]:
    """Host, port and protocol of whatever an object leads to."""
    spec: Any = document["spec"]
    if document["kind"] == "DestinationRule":
        yield spec["host"], 80, "HTTP"
    if document["kind"] == "VirtualService":
        for part, protocol in (("http", "HTTP"), ("tls", "TLS"), ("tcp", "TCP")):
            for found in _found(spec.get(part)):
                number = (found.get("port") or {}).get("number") or 80
                yield found["host"], number, protocol
    if document["kind"] == "Sidecar":
        proxy = (spec.get("outboundTrafficPolicy") or {}).get("egressProxy")
        if proxy:
            yield proxy["host"], (proxy.get("port") or {}).get("number") or 80, "HTTP"


def _found(value: Any) -> Iterator[dict[str, Any]]:
    """Every destination below a value: that of a route or of a mirror."""
    if isinstance(value, list):
        for item in value:
            yield from _found(item)
    elif isinstance(value, dict):
        for name, held in value.items():
            if name in ("destination", "mirror") and isinstance(held, dict):
                if "host" in held:
                    yield held
                else:
                    yield from _found(held)
            else:
                yield from _found(held)


def _gateways(objects: list[Document]) -> Iterator[Document]:
    metadata: Any
    known = set()
    for document in objects:
        metadata = document["metadata"]
        if document["kind"] == "Gateway":
            known.add((_namespace(document), metadata["name"]))
    wanted: dict[tuple[str, str], None] = {}
    for document in objects:
        spec: Any = document["spec"]
        for name in (spec.get("gateways") or ()) if document["kind"] == "VirtualService" else ():
            namespace, _, short = str(name).rpartition("/")
            if short != "mesh":
                wanted[namespace.strip(".") or _namespace(document), short.partition(".")[0]] = None
    for namespace, name in wanted.keys() - known:
        servers = [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*/*"]},
            {
                "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                "hosts": ["*/*"],
                "tls": {"mode": "PASSTHROUGH"},
            },
            {"port": {"number": 31400, "name": "tcp", "protocol": "TCP"}, "hosts": ["*/*"]},
        ]
        yield _stub("Gateway", name, namespace, {"selector": _GATEWAY, "servers": servers})


def _stub(kind: str, name: str, namespace: str, spec: Mapping[str, object]) -> Document:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


# -- files of certificates -------------------------------------------------------------------------------


def _with_files(document: Document, folder: Path) -> Document:
    made: Any = copy.deepcopy(dict(document))
    _replace(made.get("spec"), folder)
    return made  # type: ignore[no-any-return] # a document as before


def _replace(value: Any, folder: Path) -> None:
    """Have paths lead to files that are there, and credentials to folders."""
    if isinstance(value, list):
        for item in value:
            _replace(item, folder)
        return
    if not isinstance(value, dict):
        return
    for name, held in value.items():
        if name in _FILES and isinstance(held, str) and held:
            value[name] = str(folder / _FILES[name])
            if name in _KEYS and value.get("privateKey"):
                value["privateKey"] = str(folder / _KEYS[name])
        elif name in _CREDENTIALS and isinstance(held, str) and held:
            value[name] = "served"
        elif name == "credentialNames" and isinstance(held, list):
            value[name] = ["served" for _ in held][:1]
        else:
            _replace(held, folder)
