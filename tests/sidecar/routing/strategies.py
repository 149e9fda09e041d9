"""Random meshes for properties of the routing table: few names, so that objects meet often."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of

__all__ = ["AUTHORITIES", "contexts", "documents", "gateway_documents", "view_for"]

NAMESPACES = st.sampled_from(["default", "prod"])
SHORT = ["a", "b", "reviews"]
FULL = ["a.prod.svc.cluster.local", "b.default.svc.cluster.local", "x.example.com", "example.com"]
WILD = ["*.example.com", "*.com", "*.prod.svc.cluster.local", "*.x.example.com"]
PORTS = ["http:80", "http:9080", "grpc:9090", "mysql:3306", "tls:443", "https:8443"]

_NAMES = [
    *SHORT,
    *FULL,
    *(name.replace("*", "q") for name in WILD),
    "a.prod",
    "a.default",
    "b.default.svc",
    "reviews.default.svc.cluster.local",
    "reviews.prod.svc.cluster.local.",
    "nobody",
    "10.0.0.1",
    "[::1]",
]
AUTHORITIES = st.builds(
    lambda name, port: name + port,
    st.sampled_from(_NAMES),
    st.sampled_from(["", "", ":80", ":9080", ":9090", ":3306", ":443", ":1"]),
)

_HOSTS = st.sampled_from([*SHORT, *FULL])
_ANY_HOSTS = st.sampled_from([*SHORT, *FULL, *WILD])


def _ports(numbers: Iterable[str]) -> str:
    return ",".join(sorted(numbers))


services = st.builds(
    lambda host, ports, namespace, location, addresses: service_of(
        host,
        _ports(ports),
        namespace,
        location=location,
        resolution="NONE" if host.startswith("*") else "STATIC",
        **({"addresses": addresses} if addresses and not host.startswith("*") else {}),
    ),
    _ANY_HOSTS,
    st.sets(st.sampled_from(PORTS), min_size=1, max_size=3),
    NAMESPACES,
    st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"]),
    st.sampled_from([[], [], ["10.0.0.1"], ["10.1.0.0/16", "::1"]]),
)

_values = st.sampled_from(
    [{"exact": "/a"}, {"prefix": "/"}, {"prefix": "/a"}, {"regex": ".*"}, {"regex": "/a[0-9]?"}, {}]
)
_blocks = st.fixed_dictionaries(
    {},
    optional={
        "uri": _values,
        "headers": st.dictionaries(st.sampled_from(["x", "y"]), _values, max_size=2),
        "withoutHeaders": st.dictionaries(st.sampled_from(["x", "z"]), _values, max_size=1),
        "queryParams": st.dictionaries(st.sampled_from(["q"]), _values, max_size=1),
        "port": st.sampled_from([80, 9080]),
        "sourceNamespace": NAMESPACES,
        "sourceLabels": st.just({"app": "web"}),
        "gateways": st.sampled_from([["mesh"], ["front"], ["mesh", "prod/front"]]),
    },
)
_destinations = st.fixed_dictionaries(
    {"host": _HOSTS},
    optional={
        "subset": st.sampled_from(["v1", "v9"]),
        "port": st.builds(lambda number: {"number": number}, st.sampled_from([80, 9080, 3306])),
    },
)
_shares = st.lists(
    st.fixed_dictionaries({"destination": _destinations, "weight": st.integers(0, 3)}),
    min_size=1,
    max_size=3,
)
_rules = st.fixed_dictionaries(
    {"match": st.lists(_blocks, max_size=2)},
    optional={
        "timeout": st.just("2s"),
        "retries": st.fixed_dictionaries({"attempts": st.integers(0, 2)}),
        "rewrite": st.just({"uri": "/b"}),
        "mirror": _destinations,
        "fault": st.just({"abort": {"httpStatus": 500, "percentage": {"value": 1}}}),
    },
).flatmap(
    lambda rule: st.one_of(
        _shares.map(lambda shares: {**rule, "route": shares}),
        st.just({"match": rule["match"], "redirect": {"uri": "/r"}}),
        st.just({"match": rule["match"], "directResponse": {"status": 200}}),
    )
)


def _virtual_services(gateways: st.SearchStrategy[list[str]]) -> st.SearchStrategy[Document]:
    return st.builds(
        lambda name, namespace, hosts, bound, rules, export: object_of(
            "VirtualService",
            name,
            {
                "hosts": hosts,
                **({"gateways": bound} if bound else {}),
                **({"exportTo": export} if export else {}),
                "http": rules,
                "tcp": [{"route": [{"destination": {"host": "a"}}]}],
                "tls": [
                    {
                        "match": [{"sniHosts": [hosts[0]]}],
                        "route": [{"destination": {"host": "b"}}],
                    }
                ],
            },
            namespace,
        ),
        st.sampled_from(["v1", "v2", "v3"]),
        NAMESPACES,
        st.lists(_ANY_HOSTS, min_size=1, max_size=2, unique=True),
        gateways,
        st.lists(_rules, min_size=1, max_size=3),
        st.sampled_from([[], [], ["."], ["prod"]]),
    )


_destination_rules = st.builds(
    lambda host, namespace: object_of(
        "DestinationRule",
        f"dr-{host.replace('*', 'any')}",
        {
            "host": host,
            "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x"}}},
            "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
        },
        namespace,
    ),
    _ANY_HOSTS,
    NAMESPACES,
)
_sidecars = st.builds(
    lambda namespace, hosts: object_of(
        "Sidecar",
        "default",
        {
            "egress": [
                {"port": {"number": 3306, "protocol": "MYSQL", "name": "db"}, "hosts": hosts},
                {"port": {"number": 9080, "protocol": "HTTP", "name": "web"}, "hosts": hosts},
                {"hosts": hosts},
            ]
        },
        namespace,
    ),
    NAMESPACES,
    st.sampled_from([["*/*"], ["./*"], ["prod/*", "default/a"], ["*/*.example.com"]]),
)
_gateways = st.builds(
    lambda name, hosts, more: object_of(
        "Gateway",
        name,
        {
            "selector": {"istio": "ingress"},
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts},
                {
                    "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                    "hosts": more,
                    "tls": {"mode": "SIMPLE", "serverCertificate": "/c", "privateKey": "/k"},
                },
                {
                    "port": {"number": 9443, "name": "tls", "protocol": "TLS"},
                    "hosts": more,
                    "tls": {"mode": "PASSTHROUGH"},
                },
            ],
        },
    ),
    st.sampled_from(["front", "back"]),
    st.lists(st.sampled_from([*FULL, *WILD, "*", "prod/*.com"]), min_size=1, max_size=2),
    st.lists(st.sampled_from([*FULL, *WILD, "*"]), min_size=1, max_size=2, unique=True),
)

_for_mesh = _virtual_services(st.sampled_from([[], ["mesh"], ["mesh", "front"]]))
_for_gateways = _virtual_services(st.sampled_from([["front"], ["default/front", "back"], ["mesh"]]))

documents = st.lists(
    st.one_of(services, services, _for_mesh, _destination_rules, _sidecars), max_size=9
)
"""Objects of a mesh as sidecars meet them."""
gateway_documents = st.lists(
    st.one_of(services, _for_gateways, _for_gateways, _gateways), max_size=9
)
"""Objects of a mesh as gateways meet them."""
contexts = st.builds(
    lambda namespace, labels: Context("", namespace, labels),
    NAMESPACES,
    st.sampled_from([{}, {"app": "web"}]),
)


def view_for(objects: Iterable[Document], context: Context) -> View:
    """The mesh of these objects, each created at a revision of its own, as one workload sees it."""
    return view_of(Store(objects), context)
