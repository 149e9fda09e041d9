"""Meshes with requests aimed at them: what a differential test sends through a real Envoy.

A `Sample` is one mesh, the workloads that look at it, and requests by names that it has, and by names near them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from sidecar.mesh.model import Context
from sidecar.routing.match import Request
from tests.harness.catalogs import Document
from tests.harness.routing import object_of
from tests.sidecar.routing.strategies import (
    EDGE,
    ENTRY_SLOTS,
    FULL,
    LOOPBACK,
    NAMES,
    NAMESPACES,
    OUTSIDE,
    SENDER,
    SHORT,
    TCP_SLOT,
    Entry,
    closed_rules,
    contexts,
    delegates,
    destination_rules,
    endpoint_lists,
    for_gateways,
    for_mesh,
    gateways,
    served,
    services,
    sidecars,
    usual_gateways,
    virtual_services,
)

__all__ = ["Ask", "Sample", "samples"]


@dataclass(frozen=True)
class Ask:
    """A request and where it is sent."""

    entry: Entry
    request: Request
    is_absolute: bool = False
    """Whether it is sent as to a proxy, with the whole URL."""


@dataclass(frozen=True)
class Sample:
    """One mesh, who looks at it, and requests."""

    documents: tuple[Document, ...]
    sender: Context
    edge: Context
    asks: tuple[Ask, ...]


def _usual(hosts: Sequence[str], namespaces: st.SearchStrategy[str]) -> st.SearchStrategy[Document]:
    """Services with HTTP and endpoints, as most are."""
    return st.builds(
        served,
        st.sampled_from(hosts),
        st.sampled_from(
            [
                ["http:80", "http:9080"],
                ["http:80"],
                ["http:9080"],
                [f"http:{ENTRY_SLOTS[Entry.EGRESS]}", "http:80"],
                [f"http:{OUTSIDE}", f"tcp:{TCP_SLOT}"],
                ["grpc:80", "tls:443"],
            ]
        ),
        namespaces,
        st.just("MESH_INTERNAL"),
        st.sampled_from([[], [], ["10.0.0.1"]]),
        endpoint_lists.filter(bool),
        st.just([]),
    )


_default = st.just("default")
_mesh_configs = st.builds(
    lambda mode, exported: object_of(
        "MeshConfig",
        "mesh",
        {"outboundTrafficPolicy": {"mode": mode}, **({exported: ["."]} if exported else {})},
    ),
    st.sampled_from(["REGISTRY_ONLY", "REGISTRY_ONLY", "REGISTRY_ONLY", "ALLOW_ANY"]),
    st.sampled_from(["", "", "", "defaultVirtualServiceExportTo", "defaultServiceExportTo"]),
)
_usual_rules = virtual_services(
    st.just(["mesh", "front"]),
    st.just("usual"),
    st.sampled_from([["a", "b"], ["a", "x.example.com"], ["a", "reviews"]]),
    st.just("default"),
    st.just([]),
    rules=closed_rules,
)
_meshes = st.builds(
    lambda *groups: tuple(one for group in groups for one in group),
    st.tuples(
        _usual(["a"], _default),
        _usual(["b"], _default),
        _usual(["reviews", "x.example.com"], NAMESPACES),
    ),
    st.lists(st.one_of(_usual([*SHORT, *FULL, LOOPBACK], NAMESPACES), services), max_size=3),
    st.tuples(_usual_rules),
    st.lists(for_mesh, max_size=3),
    st.lists(for_gateways, min_size=1, max_size=4),
    st.lists(destination_rules, max_size=3),
    st.lists(delegates, max_size=2),
    st.lists(st.one_of(usual_gateways, gateways), max_size=2),
    st.lists(sidecars, max_size=1),
    st.tuples(_mesh_configs),
)


def _authorities_in(mesh: Sequence[Document], *, at_edge: bool) -> list[str]:
    """Authorities by which requests may mean something of the mesh, and some near them."""
    found: dict[str, None] = {}
    for document in mesh:
        spec = document["spec"]
        assert isinstance(spec, dict)
        bound = spec.get("gateways", ["mesh"])
        is_bound = set(bound) != {"mesh"} if at_edge else "mesh" in bound
        is_ruled = document["kind"] == "VirtualService" and is_bound
        is_served = document["kind"] == "ServiceEntry" and not at_edge
        is_open = document["kind"] == "Gateway" and at_edge
        servers = spec["servers"] if is_open else ()
        hosts = [host.rpartition("/")[2] for server in servers for host in server["hosts"]]
        if is_ruled or is_served:
            hosts += spec.get("hosts", ())
        numbers = [f":{port['number']}" for port in spec["ports"]] if is_served else [":80"]
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        for host in hosts:
            is_short = "." not in host and not at_edge
            name = f"{host}.{metadata['namespace']}" if is_short else host.replace("*", "q")
            for spelt in (name, host) if host in SHORT else (name,):
                found.update(dict.fromkeys((spelt, *(spelt + number for number in numbers))))
    names = dict.fromkeys(one.partition(":")[0] for one in found)
    near = [text for name in names for text in (name.upper(), f"{name}.", f"x{name}", f"w.{name}")]
    return [*list(found) * 12, *near, *(f"{name}:9080" for name in names)]


def _entries_of(mesh: Sequence[Document], sender: Context) -> list[Entry]:
    """Where requests can enter, each as often as it is worth."""
    found = [Entry.OUTBOUND] * 12
    if any(one["kind"] == "Gateway" for one in mesh):
        found += [Entry.HTTP] * 5 + [Entry.OTHER_HTTP, Entry.HTTPS, Entry.HTTPS]
    spaces = [one["metadata"] for one in mesh if one["kind"] == "Sidecar"]
    if any(isinstance(one, dict) and one["namespace"] == sender.namespace for one in spaces):
        found += [Entry.EGRESS, Entry.EGRESS, Entry.PROXY]
    return found


_asked_paths = [
    "/",
    "/a",
    "/A",
    "/a/",
    "/ab",
    "/a/b",
    "/A/B",
    "/a1",
    "/b",
    "//a",
    "/a%62",
    "/a/../b",
    "/q/./b",
    "/..",
    "/a/.",
    "/a%2fb",
    "/%2E%2e/b/..",
    "/a\\b",
    "/a{b}",
]
_queries = ["", "", "", "?", "?q", "?q=a", "?q=ab&q=a", "?p=1&q=A", "?Q=a", "?q=a?b"]
_asked_targets = st.sampled_from([path + query for path in _asked_paths for query in _queries])
_some_fields = [
    (),
    (),
    (("x", "a"),),
    (("x", "ab"), ("y", "A")),
    (("x", "b, a"), ("x", "a")),
    (("X", "a"), ("x-new", "")),
    (("x", ""), ("y", "a"), ("x", "A")),
    (("x-new", "a"), ("x-new", "ab"), ("cookie", "c=1")),
    (("x", "A"), ("y", "b, a"), ("x-new", "A")),
]
_special_fields = [
    (),
    (),
    (("x-want", "503"),),
    (("x-want", "503"),),
    (("x-want", "404"),),
    (("origin", "http://a.test"),),
    (("origin", "http://b.test"),),
]
_preflights = [
    (("origin", origin), ("access-control-request-method", "PUT"))
    for origin in ("http://a.test", "http://b.test")
]
_methods_and_fields = st.sampled_from(
    [
        (method, (*some, *special))
        for method in ("GET", "POST", "PUT")
        for some in _some_fields
        for special in _special_fields
    ]
    + [("OPTIONS", (*some, *special)) for some in _some_fields for special in _preflights * 2]
)
"""(method, header fields), together to be drawn at once."""


def _asks(entry: Entry, names: Sequence[str]) -> st.SearchStrategy[Ask]:
    """Requests that enter somewhere for one of these authorities."""
    scheme = "https" if entry is Entry.HTTPS else "http"
    return st.builds(
        lambda line, authority, path: Ask(
            entry, Request(line[0], scheme, authority, path, line[1]), len(path) % 4 == 3
        ),
        _methods_and_fields,
        st.sampled_from(list(names)),
        _asked_targets,
    )


_OTHERS = [*NAMES, f"127.0.0.1:{OUTSIDE}", "q.localhost", f"localhost:{OUTSIDE}", "10.0.0.1:9080"]


@st.composite
def samples(draw: st.DrawFn, asked: int) -> Sample:
    """Meshes with so many requests each."""
    mesh, sender = draw(_meshes), draw(contexts)
    edge = Context(EDGE, draw(NAMESPACES), {"istio": "ingress"}, is_gateway=True)
    inner = [*_authorities_in(mesh, at_edge=False), *_OTHERS]
    outer = _authorities_in(mesh, at_edge=True)
    with_ports = {
        entry: [*outer, *(f"{one.partition(':')[0]}:{slot}" for one in outer)]
        for entry, slot in ENTRY_SLOTS.items()
    }
    inward = (Entry.OUTBOUND, Entry.EGRESS, Entry.PROXY)
    kinds = [
        _asks(entry, inner if entry in inward else with_ports[entry])
        for entry in _entries_of(mesh, sender)
    ]
    asks = draw(st.lists(st.one_of(kinds), min_size=asked, max_size=asked))
    return Sample(mesh, Context(SENDER, sender.namespace, sender.labels), edge, tuple(asks))
