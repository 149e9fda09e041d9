"""Random objects for the routing table: few names and values, so that they meet often.

`documents` and `gateway_documents` are meshes as sidecars and gateways meet them; `samples` beside this module adds
requests. Ports from `SLOTS` up stand for ports that a test opens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from hypothesis import strategies as st

from sidecar.mesh.model import Context
from sidecar.mesh.view import View
from tests.harness.catalogs import Document, Store
from tests.harness.routing import object_of, service_of, view_of

__all__ = [
    "AUTHORITIES",
    "CERTIFICATE",
    "EDGE",
    "ENDPOINT_SLOTS",
    "ENTRY_SLOTS",
    "KEY",
    "OUTSIDE",
    "SENDER",
    "SLOTS",
    "Entry",
    "contexts",
    "documents",
    "gateway_documents",
    "view_for",
]

SLOTS = 64_000
"""The first of the ports that stand for others."""
ENDPOINT_SLOTS = range(SLOTS, SLOTS + 24)
"""Where applications listen."""
OUTSIDE = ENDPOINT_SLOTS[-1]
"""An application that requests also name by its address."""
CERTIFICATE, KEY = "/certificate", "/key"
"""Files of a gateway's servers."""
SENDER, EDGE = "app", "edge"
"""Names of the contexts of a sample: a workload with a sidecar, and a gateway."""


class Entry(StrEnum):
    """Where a request enters."""

    OUTBOUND = "outbound"
    EGRESS = "egress"
    PROXY = "proxy"
    HTTP = "http"
    OTHER_HTTP = "other http"
    HTTPS = "https"


ENTRY_SLOTS = {entry: SLOTS + 50 + number for number, entry in enumerate(Entry)}
"""The port of each."""
TLS_SLOT, TCP_SLOT = SLOTS + 60, SLOTS + 61
"""A gateway's server that passes TLS through, one for TCP."""

NAMESPACES = st.sampled_from(["default", "default", "prod"])
SHORT = ["a", "b", "reviews"]
FULL = ["a.prod.svc.cluster.local", "b.default.svc.cluster.local", "x.example.com", "example.com"]
WILD = ["*.example.com", "*.com", "*.prod.svc.cluster.local", "*.x.example.com"]
LOOPBACK = "*.localhost"
"""A wildcard of names that every resolver finds, at this machine."""
PORTS = ["http:80", "http:9080", "grpc:9090", "mysql:3306", "tls:443", "https:8443"]

NAMES = [
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
_NUMBERS = ["", ":80", ":9080", ":9090", ":3306", ":443", ":1"]
AUTHORITIES = st.builds(
    lambda name, port: name + port, st.sampled_from(NAMES), st.sampled_from(_NUMBERS)
)

_HOSTS = st.sampled_from([*SHORT, *FULL])
_ANY_HOSTS = st.sampled_from([*SHORT, *FULL, *WILD])
_EXPORTS = st.sampled_from([[], [], [], [], ["."], ["prod"], ["*"], ["default", "prod"]])


def _optional(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=fields)


_VIRTUAL_SERVICES = st.sampled_from(["v1", "v2", "v3"])
_ruled_hosts = st.one_of(
    st.lists(_HOSTS, min_size=1, max_size=2, unique=True),
    _ANY_HOSTS.map(lambda host: [host]),
    st.sampled_from(
        [["*.x.example.com", "example.com"], ["a", "*.prod.svc.cluster.local"], ["a", "b"], ["a"]]
    ),
)

# Services

endpoint_lists = st.lists(
    st.tuples(
        st.sampled_from(ENDPOINT_SLOTS),
        st.sampled_from(["v1", "v1", "v2", "v3"]),
        st.integers(1, 2),
    ),
    max_size=3,
    unique_by=lambda one: one[0],
)


def served(
    host: str,
    ports: Iterable[str],
    namespace: str,
    location: str,
    addresses: list[str],
    endpoints: Sequence[tuple[int, str, int]],
    exported: list[str],
) -> Document:
    wild = host.startswith("*")
    listed = [
        {
            "address": "127.0.0.1",
            "ports": {f"{p}-{n}": slot for p, _, n in (one.partition(":") for one in ports)},
            "labels": {"version": version},
            "weight": weight,
        }
        for slot, version, weight in endpoints
    ]
    more: dict[str, object] = {"addresses": addresses} if addresses and not wild else {}
    if exported:
        more["exportTo"] = exported
    if not wild:
        more["endpoints"] = listed
    resolution = "NONE" if wild else "STATIC"
    return service_of(
        host, ",".join(sorted(ports)), namespace, location=location, resolution=resolution, **more
    )


def _services(ports: Sequence[str]) -> st.SearchStrategy[Document]:
    return st.builds(
        served,
        _ANY_HOSTS,
        st.sets(st.sampled_from(ports), min_size=1, max_size=3),
        NAMESPACES,
        st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"]),
        st.sampled_from([[], [], ["10.0.0.1"], ["10.1.0.0/16", "::1"]]),
        endpoint_lists,
        _EXPORTS,
    )


services = _services(PORTS)

# Conditions

_paths = st.sampled_from(
    [
        {"exact": "/a"},
        {"exact": "/"},
        {"exact": "/A/b"},
        {"prefix": "/"},
        {"prefix": "/a"},
        {"prefix": "/a/"},
        {"prefix": "/AB"},
        {"regex": ".*"},
        {"regex": "/a[0-9]?"},
        {"regex": "/[^/]+/b"},
        {"regex": "(?i)/a.*"},
    ]
)
_values = st.sampled_from(
    [
        {"exact": "a"},
        {"exact": "A"},
        {"exact": ""},
        {"prefix": "a"},
        {"regex": ".*"},
        {"regex": "a|ab"},
        {"regex": "[ab, ]+"},
        {},
    ]
)
_headers = st.sampled_from(["x", "y", "x-new"])


def _field(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """These fields, all of them."""
    return st.fixed_dictionaries(fields)


def _merged(*parts: dict[str, object]) -> dict[str, object]:
    """Fields of all parts; of `mirror` and `mirrors`, which exclude each other, one."""
    found = {key: value for part in parts for key, value in part.items()}
    if "mirror" in found:
        found.pop("mirrors", None)
    return found


def _fitting(rule: Mapping[str, object]) -> dict[str, object]:
    """A redirect whose conditions suit it: a prefix is only rewritten where one matched."""
    redirect = rule["redirect"]
    assert isinstance(redirect, dict)
    suited = {"match": [{"uri": {"prefix": "/a"}}]} if "prefixRewrite" in redirect else {}
    return {**rule, **suited}


_on_requests = st.one_of(
    st.just({}),
    _field(uri=_paths),
    _field(uri=_paths),
    _field(uri=_paths, ignoreUriCase=st.just(True)),
    _field(
        method=st.sampled_from(
            [{"exact": "GET"}, {"exact": "get"}, {"regex": "P.*T"}, {"prefix": "P"}]
        )
    ),
    _field(scheme=st.sampled_from([{"exact": "http"}, {"exact": "https"}, {"prefix": "http"}])),
    _field(
        authority=st.sampled_from(
            [
                {"exact": "a"},
                {"prefix": "a"},
                {"regex": ".*:80"},
                {"exact": "A:9080"},
                {"prefix": "x"},
            ]
        )
    ),
    _field(headers=st.dictionaries(_headers, _values, min_size=1, max_size=2)),
    _field(withoutHeaders=st.dictionaries(_headers, _values, min_size=1, max_size=1)),
    _field(
        queryParams=st.dictionaries(st.sampled_from(["q", "Q"]), _values, min_size=1, max_size=2)
    ),
)
_on_places = st.one_of(
    st.just({}),
    st.just({}),
    st.just({}),
    _field(port=st.sampled_from([80, 9080, ENTRY_SLOTS[Entry.HTTP]])),
    _field(sourceNamespace=NAMESPACES),
    _field(sourceLabels=st.just({"app": "web"})),
    _field(gateways=st.sampled_from([["mesh"], ["front"], ["mesh", "prod/front"]])),
    _field(name=st.sampled_from(["m1", "m2"])),
)
_blocks = st.builds(_merged, _on_requests, _on_requests, _on_places)
_few_blocks: st.SearchStrategy[list[dict[str, object]]] = st.one_of(
    st.just([]), st.tuples(_blocks).map(list), st.lists(_blocks, min_size=1, max_size=3)
)

# Actions

_usual_hosts = ["a", "b", "a.default.svc.cluster.local", "b.default.svc.cluster.local"]
_destinations = st.builds(
    lambda host, more: {"host": host, **more},
    st.sampled_from([*_usual_hosts * 2, *SHORT, *FULL]),
    st.sampled_from(
        [
            *[{}] * 8,
            {"port": {"number": 80}},
            {"port": {"number": 9080}},
            {"port": {"number": 3306}},
            {"subset": "v1"},
            {"subset": "v1"},
            {"subset": "v2"},
            {"subset": "v9"},
            {"subset": "v2", "port": {"number": 80}},
        ]
    ),
)
_texts = st.sampled_from(["1", "two, 2", "", "a"])
_fields = st.dictionaries(st.sampled_from(["x", "y", "x-new", "X-Res"]), _texts, max_size=2)
_host_fields = st.one_of(
    *[_fields] * 9, _fields.map(lambda fields: {**fields, "Host": "set.example"})
)
_names_removed = st.lists(st.sampled_from(["x", "y", "x-res", "x-gone"]), max_size=2, unique=True)
_edits = _optional(
    request=_optional(set=_host_fields, add=_fields, remove=_names_removed),
    response=_optional(set=_fields, add=_fields, remove=_names_removed),
)
_weighted = st.fixed_dictionaries(
    {"destination": _destinations, "weight": st.sampled_from([1, 3, 0])},
    optional={"headers": _edits},
)
_shares = st.one_of(
    st.tuples(_weighted).map(list), st.lists(_weighted, min_size=2, max_size=3)
).filter(lambda shares: any(share["weight"] for share in shares))
_percentages = st.sampled_from([{"value": value} for value in (100, 100, 50, 0)])
_rewrites = st.one_of(
    st.fixed_dictionaries(
        {"uri": st.sampled_from(["/b", "/", "/b/", "/new/place"])},
        optional={"authority": st.sampled_from(["new.example", "b:9080"])},
    ),
    st.sampled_from([{"authority": "new.example"}, {"authority": "B"}]),
    st.fixed_dictionaries(
        {
            "uriRegexRewrite": st.sampled_from(
                [
                    {"match": "/a", "rewrite": "/z"},
                    {"match": "^/([^/]+)/(.*)$", "rewrite": r"/\2/\1"},
                    {"match": "b", "rewrite": r"[\0]"},
                    {"match": "nothing", "rewrite": "/z"},
                ]
            )
        }
    ),
)
_aborts = st.one_of(
    st.fixed_dictionaries({"httpStatus": st.just(555)}, optional={"percentage": _percentages}),
    st.fixed_dictionaries({"grpcStatus": st.just("UNAVAILABLE"), "percentage": _percentages}),
)
_delays = st.fixed_dictionaries({"fixedDelay": st.just("0.001s"), "percentage": _percentages})
_faults = st.one_of(
    st.fixed_dictionaries({"abort": _aborts}, optional={"delay": _delays}),
    st.fixed_dictionaries({"delay": _delays}),
)
_mirrors = st.lists(
    st.fixed_dictionaries({"destination": _destinations}, optional={"percentage": _percentages}),
    min_size=1,
    max_size=2,
)
_retries = st.one_of(
    st.just({"attempts": 0}),
    *[
        st.fixed_dictionaries(
            {
                "attempts": st.integers(1, 2),
                "backoff": st.just("1ms"),
                "retryOn": st.sampled_from(
                    ["5xx", "503", "gateway-error", "retriable-4xx", "reset,404"]
                ),
            },
            optional={
                "perTryTimeout": st.sampled_from(["20s", "60s"]),
                "retryIgnorePreviousHosts": st.booleans(),
            },
        )
    ]
    * 3,
)
_cors = _optional(
    allowOrigins=st.lists(
        st.sampled_from([{"exact": "http://a.test"}, {"prefix": "http://a"}, {"regex": ".*"}]),
        max_size=2,
    ),
    allowMethods=st.just(["GET", "PUT"]),
    allowHeaders=st.just(["x-a"]),
    exposeHeaders=st.just(["x-res"]),
    maxAge=st.just("24h"),
    allowCredentials=st.booleans(),
    unmatchedPreflights=st.sampled_from(["FORWARD", "IGNORE"]),
)
_common = {"match": _few_blocks}
_besides = {"headers": _edits, "corsPolicy": _cors}


_extras = st.one_of(
    st.just({}),
    _field(headers=_edits),
    _field(corsPolicy=_cors),
    _field(fault=_faults),
    _field(timeout=st.sampled_from(["30s", "45s"])),
    _field(retries=_retries),
    _field(rewrite=_rewrites),
    _field(rewrite=_rewrites),
    _field(mirrors=_mirrors),
    _field(mirror=_destinations, mirrorPercentage=_percentages),
    _field(mirror=_destinations, name=st.sampled_from(["r1", "r2"])),
)
_forwards = st.builds(
    lambda match, route, *extras: _merged(*extras, {"match": match, "route": route}),
    _few_blocks,
    _shares,
    _extras,
    _extras,
    _extras,
)
_redirects = st.fixed_dictionaries(
    {
        **_common,
        "redirect": st.builds(
            _merged,
            st.sampled_from(
                [{}, {"uri": "/r"}, {"uri": "/r?s=1"}, {"prefixRewrite": "/p"}, {"uri": "/"}]
            ),
            _optional(
                authority=st.sampled_from(["other.example", "other.example:8080"]),
                scheme=st.sampled_from(["http", "https"]),
                redirectCode=st.sampled_from([301, 302, 303, 307, 308]),
            ),
            st.sampled_from(
                [{}, {"port": 80}, {"port": 443}, {"port": 8080}]
                + [{"derivePort": word} for word in ("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT")]
            ),
        ),
    },
    optional=_besides,
).map(_fitting)
_answers = st.fixed_dictionaries(
    {
        **_common,
        "directResponse": st.fixed_dictionaries(
            {"status": st.sampled_from([200, 204, 418, 503])},
            optional={"body": st.sampled_from([{"string": "said so"}, {"bytes": "Ynl0ZXM="}])},
        ),
    },
    optional=_besides,
)
_delegating = st.fixed_dictionaries(
    {
        **_common,
        "delegate": st.builds(lambda n, s: {"name": n, "namespace": s}, st.just("d"), NAMESPACES),
    },
    optional={
        **_besides,
        "fault": _faults,
        "rewrite": _rewrites,
        "timeout": st.just("30s"),
        "name": st.just("root"),
    },
)
_rules = st.one_of(_forwards, _forwards, _forwards, _redirects, _answers, _delegating)
_leaf_rules = st.one_of(_forwards, _forwards, _redirects, _answers)


# VirtualServices and what goes with them


_last_rule = st.builds(_merged, _forwards, st.just({"match": []}))
_some_rules = st.lists(_rules, min_size=1, max_size=3)
closed_rules = st.builds(
    lambda some, last: [*some, last], st.lists(_rules, min_size=1, max_size=4), _last_rule
)


def virtual_services(
    gateways: st.SearchStrategy[list[str]],
    names: st.SearchStrategy[str] = _VIRTUAL_SERVICES,
    hosts: st.SearchStrategy[list[str]] = _ruled_hosts,
    namespaces: st.SearchStrategy[str] = NAMESPACES,
    exports: st.SearchStrategy[list[str]] = _EXPORTS,
    rules: st.SearchStrategy[list[object]] = _some_rules,
) -> st.SearchStrategy[Document]:
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
        names,
        namespaces,
        hosts,
        gateways,
        rules,
        exports,
    )


delegates = st.builds(
    lambda namespace, rules, export: object_of(
        "VirtualService",
        "d",
        {"http": rules, **({"exportTo": export} if export else {})},
        namespace,
    ),
    NAMESPACES,
    st.lists(_leaf_rules, min_size=1, max_size=2),
    _EXPORTS,
)
_hashes = st.sampled_from(
    [
        {"httpHeaderName": "x"},
        {"httpQueryParameterName": "q"},
        {"useSourceIp": True},
        {"httpCookie": {"name": "c", "ttl": "60s"}},
        {"httpCookie": {"name": "c", "path": "/a"}},
    ]
)
_policies = st.one_of(
    _hashes.map(lambda how: {"loadBalancer": {"consistentHash": how}}),
    st.sampled_from([{"loadBalancer": {"simple": word}} for word in ("ROUND_ROBIN", "RANDOM")]),
    _hashes.map(
        lambda how: {
            "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"consistentHash": how}}]
        }
    ),
)
destination_rules = st.builds(
    lambda host, namespace, policy, subsets, export: object_of(
        "DestinationRule",
        f"dr-{host.replace('*', 'any')}",
        {
            "host": host,
            **({"trafficPolicy": policy} if policy else {}),
            "subsets": subsets,
            **({"exportTo": export} if export else {}),
        },
        namespace,
    ),
    st.one_of(st.sampled_from(["a", "b"]), _ANY_HOSTS),
    NAMESPACES,
    st.one_of(st.none(), _policies),
    st.lists(
        st.builds(
            lambda version, policy: {
                "name": version,
                "labels": {"version": version},
                **({"trafficPolicy": policy} if policy else {}),
            },
            st.sampled_from(["v1", "v2", "v3"]),
            st.one_of(st.none(), _policies),
        ),
        max_size=3,
        unique_by=lambda subset: str(subset["name"]),
    ),
    _EXPORTS,
)
_imports = st.sampled_from([["*/*"], ["./*"], ["prod/*", "default/a"], ["*/*.example.com"]])


def _egress(number: int, protocol: str, name: str, hosts: list[str]) -> dict[str, object]:
    return {"port": {"number": number, "protocol": protocol, "name": name}, "hosts": hosts}


sidecars = st.builds(
    lambda namespace, hosts, others, selected, policy: object_of(
        "Sidecar",
        "selected" if selected else "default",
        {
            **({"workloadSelector": {"labels": {"app": "web"}}} if selected else {}),
            **({"outboundTrafficPolicy": policy} if policy is not None else {}),
            "egress": [
                _egress(TCP_SLOT, "TCP", "db", hosts),
                _egress(ENTRY_SLOTS[Entry.EGRESS], "HTTP", "web", others),
                _egress(ENTRY_SLOTS[Entry.PROXY], "HTTP_PROXY", "proxy", hosts),
                {"hosts": others},
            ],
        },
        namespace,
    ),
    NAMESPACES,
    _imports,
    _imports,
    st.booleans(),
    st.sampled_from([None, None, None, {}, {"mode": "ALLOW_ANY"}, {"mode": "REGISTRY_ONLY"}]),
)
_EXPOSED = [*FULL, *WILD, "*", "*", "*", "prod/*.com", "./example.com"]


def _tls(number: int, name: str, protocol: str, tls: dict[str, object], hosts: list[str]) -> object:
    port = {"number": number, "name": name, "protocol": protocol}
    return {"port": port, "hosts": hosts, "tls": tls}


def _servers(hosts: list[str], more: list[str], redirect: bool) -> list[object]:
    plain = {"port": {"number": ENTRY_SLOTS[Entry.HTTP], "name": "http", "protocol": "HTTP"}}
    files = {"mode": "SIMPLE", "serverCertificate": CERTIFICATE, "privateKey": KEY}
    return [
        {**plain, "hosts": hosts, **({"tls": {"httpsRedirect": True}} if redirect else {})},
        _tls(ENTRY_SLOTS[Entry.HTTPS], "https", "HTTPS", files, more),  # type: ignore[arg-type] # texts
        _tls(TLS_SLOT, "tls", "TLS", {"mode": "PASSTHROUGH"}, more),
        {
            "port": {"number": ENTRY_SLOTS[Entry.OTHER_HTTP], "name": "other", "protocol": "HTTP"},
            "hosts": more,
        },
    ]


def _gateways_of(
    names: st.SearchStrategy[str],
    namespaces: st.SearchStrategy[str],
    hosts: st.SearchStrategy[list[str]],
) -> st.SearchStrategy[Document]:
    return st.builds(
        lambda name, namespace, hosts, more, redirect: object_of(
            "Gateway",
            name,
            {"selector": {"istio": "ingress"}, "servers": _servers(hosts, more, redirect)},
            namespace,
        ),
        names,
        namespaces,
        hosts,
        st.lists(st.sampled_from([*FULL, *WILD, "*", "*"]), min_size=1, max_size=2, unique=True),
        st.sampled_from([False, False, False, True]),
    )


gateways = _gateways_of(
    st.sampled_from(["front", "back"]),
    st.sampled_from(["default", "default", "prod"]),
    st.lists(st.sampled_from(_EXPOSED), min_size=1, max_size=2, unique=True),
)
usual_gateways = _gateways_of(
    st.just("front"), st.just("default"), st.sampled_from([["*"], ["a.default.svc.cluster.local"]])
)

for_mesh = virtual_services(st.sampled_from([[], ["mesh"], ["mesh", "front"]]))
for_gateways = virtual_services(
    st.sampled_from([["front"], ["front", "mesh"], ["default/front", "back"], ["mesh"]])
)

documents = st.lists(
    st.one_of(services, services, for_mesh, destination_rules, sidecars, delegates), max_size=9
)
"""Objects of a mesh as sidecars meet them."""
gateway_documents = st.lists(
    st.one_of(services, for_gateways, for_gateways, gateways, delegates), max_size=9
)
"""Objects of a mesh as gateways meet them."""
contexts = st.builds(
    lambda namespace, labels: Context("", namespace, labels),
    st.sampled_from(["default", "default", "default", "prod"]),
    st.sampled_from([{}, {"app": "web"}]),
)


def view_for(objects: Iterable[Document], context: Context) -> View:
    """The mesh of these objects, each created at a revision of its own, as one workload sees it."""
    return view_of(Store(objects), context)
