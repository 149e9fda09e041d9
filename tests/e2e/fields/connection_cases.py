"""Proofs of a VirtualService's rules for connections that nobody reads: `tls`, by server name, and `tcp`."""

from __future__ import annotations

from typing import Any

from tests.harness.field_cases import SUBSETS, Case, ask, holds
from tests.harness.worlds import GATEWAY, WEB

__all__ = ["CASES"]

_TLS, _TCP = "VirtualService.spec.tls[]", "VirtualService.spec.tcp[]"


def _services(protocol: str) -> str:
    """Services `a` and `b` on `$port`, and a Sidecar that opens it."""
    listed = "".join(
        f"""
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  resolution: STATIC
  addresses: [{address}]
  ports: [{{number: $port, name: p, protocol: {protocol}}}, {{number: $port3, name: q, protocol: {protocol}}}]
  endpoints: [{endpoints}]
---"""
        for name, address, endpoints in (
            (
                "a",
                "127.0.0.1",
                "{address: 127.0.0.1, ports: {p: %(one)s, q: $three}, labels: {version: v1}},"
                " {address: 127.0.0.1, ports: {p: %(two)s, q: $three}, labels: {version: v2}}",
            ),
            ("b", "127.0.0.3", "{address: 127.0.0.1, ports: {p: $three, q: $three}}"),
        )
    )
    ports = {"one": "$tls", "two": "$tls"} if protocol == "TLS" else {"one": "$one", "two": "$two"}
    return (
        listed % ports
        + f"""
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - {{port: {{number: $port, protocol: {protocol}, name: own}}, hosts: ['*/a.default.svc.cluster.local']}}
  - {{hosts: ['*/*']}}
---
{SUBSETS}"""
    )


def _tcp(
    name: str, proves: str, *rules: str, asks: Any = (), accepted: Any = (), **more: Any
) -> Case:
    listed = "\n".join(f"  - {rule}" for rule in rules)
    objects = f"""
kind: VirtualService
spec:
  hosts: [a]
  gateways: [mesh, gw]
  tcp:
{listed}
"""
    return Case(name, proves, objects, asks, accepted, services=_services("TCP"), **more)


_V1 = "route: [{destination: {host: a, subset: v1}}]"
_V2 = "route: [{destination: {host: a, subset: v2}}]"
_CHAINS = "outbound|$port|%s|a.default.svc.cluster.local"

_UNREAD = (
    _tcp(
        "a connection goes to a service, a subset of it, one of its ports",
        f"{_TCP}.route[].destination.{{host,subset,port.number}}",
        "route: [{destination: {host: a, subset: v2, port: {number: $port}}}]",
        asks=(ask("any/", at="port", by="two", times=4),),
    ),
    _tcp(
        "a connection goes to the port that is named",
        f"{_TCP}.route[].destination.port.number",
        "route: [{destination: {host: a, port: {number: $port3}}}]",
        asks=(ask("any/", at="port", by="three", times=4),),
    ),
    _tcp(
        "destinations share connections by weight",
        f"{_TCP}.route[].weight",
        "route: [{destination: {host: a, subset: v1}, weight: 70}, {destination: {host: a, subset: v2}, weight: 30}]",
        accepted=(
            holds(
                "listener",
                "$port",
                {
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "typed_config": {
                                        "weighted_clusters": {
                                            "clusters": [{"weight": 70}, {"weight": 30}]
                                        }
                                    }
                                }
                            ]
                        }
                    ]
                },
            ),
        ),
    ),
    _tcp(
        "a block may be for addresses",
        f"{_TCP}.match[].destinationSubnets",
        f"{{match: [{{destinationSubnets: [127.0.0.0/30]}}], {_V2}}}",
        f"{{{_V1}}}",
        asks=(ask("any/", at="port", by="two", times=3),),
    ),
    _tcp(
        "a block for bytes may be for one port",
        f"{_TCP}.match[].port",
        f"{{match: [{{port: 1}}], {_V1}}}",
        f"{{match: [{{port: $port}}], {_V2}}}",
        asks=(ask("any/", at="port", by="two", times=3),),
    ),
    _tcp(
        "a block for bytes may be for workloads with certain labels",
        f"{_TCP}.match[].sourceLabels",
        f"{{match: [{{sourceLabels: {{app: else}}}}], {_V1}}}",
        f"{{match: [{{sourceLabels: {{app: web}}}}], {_V2}}}",
        asks=(ask("any/", at="port", by="two", times=3),),
    ),
    _tcp(
        "a block for bytes may be for workloads of one namespace",
        f"{_TCP}.match[].sourceNamespace",
        f"{{match: [{{sourceNamespace: else}}], {_V1}}}",
        f"{{match: [{{sourceNamespace: default}}], {_V2}}}",
        asks=(ask("any/", at="port", by="two", times=3),),
    ),
    _tcp(
        "a block for bytes may be for some of the gateways",
        f"{_TCP}.match[].gateways",
        f"{{match: [{{gateways: [gw]}}], {_V1}}}",
        f"{{match: [{{gateways: [mesh]}}], {_V2}}}",
        asks=(ask("any/", at="port", by="two", times=3),),
    ),
)


_AT_A_GATEWAY = (
    Case(
        "a block may be for addresses, at a gateway",
        f"{_TCP}.match[].destinationSubnets",
        """
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: $port2, name: p, protocol: TCP}, hosts: ['*']}]
---
kind: VirtualService
spec:
  hosts: ['*']
  gateways: [gw]
  tcp:
  - match: [{destinationSubnets: [127.0.0.0/30]}]
    route: [{destination: {host: a, subset: v2, port: {number: $port}}}]
  - route: [{destination: {host: a, subset: v1, port: {number: $port}}}]
""",
        asks=(ask("any/", at="port2", by="two", times=3),),
        services=_services("TCP"),
        context=GATEWAY,
    ),
)


def _tls(
    name: str, proves: str, *rules: str, asks: Any = (), accepted: Any = (), **more: Any
) -> Case:
    listed = "\n".join(f"  - {rule}" for rule in rules)
    objects = f"""
kind: VirtualService
spec:
  hosts: ['*.example.com', a]
  gateways: [mesh, gw]
  tls:
{listed}
---
kind: Gateway
metadata: {{name: gw}}
spec:
  selector: {{istio: ingress}}
  servers: [{{port: {{number: $port2, name: p, protocol: TLS}}, hosts: ['*'], tls: {{mode: PASSTHROUGH}}}}]
"""
    return Case(name, proves, objects, asks, accepted, services=_services("TLS"), **more)


def _named(sni: str = "named.example.com", **more: Any) -> Any:
    return ask(f"{sni}/", **{"at": "port2", "sni": sni, "by": "tls", **more})


_SNI = "sniHosts: [named.example.com]"
_A = "route: [{destination: {host: a, port: {number: $port}}}]"
_AT = {"context": GATEWAY}

_NAMED = (
    _tls(
        "connections are told apart by the server name",
        f"{_TLS}.match[].sniHosts",
        f"{{match: [{{{_SNI}}}], {_A}}}",
        asks=(_named(), _named("gw.example.com", status=0, by="")),
        **_AT,
    ),
    _tls(
        "a server name that several blocks have belongs to the first",
        f"{_TLS}.match[].sniHosts",
        f"{{match: [{{sniHosts: [named.example.com, gw.example.com, named.example.com]}}], {_A}}}",
        "{match: [{sniHosts: [named.example.com, else.example.com]}], route: [{destination: {host: b}}]}",
        asks=(_named(), _named("gw.example.com")),
        **_AT,
    ),
    _tls(
        "a named connection goes to a service, a subset of it, one of its ports",
        f"{_TLS}.route[].destination.{{host,subset,port.number}}",
        f"{{match: [{{{_SNI}}}], route: [{{destination: {{host: a, subset: v1, port: {{number: $port}}}}}}]}}",
        asks=(_named(),),
        **_AT,
    ),
    _tls(
        "destinations share connections by weight, told apart by name",
        f"{_TLS}.route[].weight",
        f"{{match: [{{{_SNI}}}], route: [{{destination: {{host: a, subset: v1, port: {{number: $port}}}}, weight: 70}},"
        " {destination: {host: b, port: {number: $port}}, weight: 0}]}",
        asks=(_named(times=4),),
        **_AT,
    ),
    _tls(
        "a block may be for addresses beside names",
        f"{_TLS}.match[].destinationSubnets",
        f"{{match: [{{{_SNI}, destinationSubnets: [127.0.0.0/30]}}], {_A}}}",
        asks=(_named(at="port"),),
    ),
    _tls(
        "a block may be for one port beside names",
        f"{_TLS}.match[].port",
        f"{{match: [{{{_SNI}, port: $port2}}], {_A}}}",
        f"{{match: [{{sniHosts: [gw.example.com], port: 1}}], {_A}}}",
        asks=(_named(), _named("gw.example.com", status=0, by="")),
        **_AT,
    ),
    _tls(
        "a block may be for some of the gateways beside names",
        f"{_TLS}.match[].gateways",
        f"{{match: [{{{_SNI}, gateways: [gw]}}], {_A}}}",
        f"{{match: [{{sniHosts: [gw.example.com], gateways: [mesh]}}], {_A}}}",
        asks=(_named(), _named("gw.example.com", status=0, by="")),
        **_AT,
    ),
    _tls(
        "a block may be for some workloads beside names",
        f"{_TLS}.match[].{{sourceLabels,sourceNamespace}}",
        f"{{match: [{{{_SNI}, sourceLabels: {{app: web}}}}], {_A}}}",
        f"{{match: [{{sniHosts: [gw.example.com], sourceNamespace: default}}], {_A}}}",
        f"{{match: [{{sniHosts: [else.example.com], sourceLabels: {{app: else}}}}], {_A}}}",
        f"{{match: [{{sniHosts: [elsewhere.example.com], sourceNamespace: else}}], {_A}}}",
        asks=(_named(at="port"), _named("gw.example.com", at="port")),
        context=WEB,
    ),
)

CASES = (*_UNREAD, *_AT_A_GATEWAY, *_NAMED)
