"""Proofs of the conditions of a VirtualService's HTTP rules, and of whom a rule is for."""

from __future__ import annotations

from tests.harness.field_cases import SUBSETS, Case, ask, holds

__all__ = ["CASES"]

_MATCH = "VirtualService.spec.http[].match[]"


def _rule(match: str, then: str = "route: [{destination: {host: b}}]", more: str = "") -> str:
    """A VirtualService of `a`: what matches goes to `b` (server `three`), the rest to `a` v1 (`one`)."""
    return f"""
kind: VirtualService
spec:
  hosts: [a]
  {more}
  http:
  - match: [{match}]
    {then}
  - route: [{{destination: {{host: a, subset: v1}}}}]
---
{SUBSETS}"""


_CONDITIONS = (
    Case(
        "a path is compared as a whole, by its beginning, or by an expression",
        f"{_MATCH}.uri.{{exact,prefix,regex}}",
        _rule("{uri: {exact: /e}}, {uri: {prefix: /p}}, {uri: {regex: '/r[0-9]+'}}"),
        asks=(
            ask("a:9080/e", by="three"),
            ask("a:9080/e/f", by="one"),
            ask("a:9080/pq?x=1", by="three"),
            ask("a:9080/r12", by="three"),
            ask("a:9080/r12/x", by="one"),
        ),
    ),
    Case(
        "the case of a path may be passed over",
        f"{_MATCH}.ignoreUriCase",
        _rule("{uri: {exact: /E}, ignoreUriCase: true}, {uri: {prefix: /P}}"),
        asks=(ask("a:9080/e", by="three"), ask("a:9080/E", by="three"), ask("a:9080/p", by="one")),
    ),
    Case(
        "the method is compared with its case",
        f"{_MATCH}.method.{{exact,prefix,regex}}",
        _rule("{method: {exact: PUT}}, {method: {prefix: PAT}}, {method: {regex: 'DEL.*|HEAD'}}"),
        asks=(
            ask("a:9080/", method="PUT", by="three"),
            ask("a:9080/", method="PATCH", by="three"),
            ask("a:9080/", method="DELETE", by="three"),
            ask("a:9080/", method="POST", by="one"),
        ),
    ),
    Case(
        "the scheme is that of the request",
        f"{_MATCH}.scheme.{{exact,prefix,regex}}",
        _rule(
            "{uri: {prefix: /e}, scheme: {exact: http}}, {uri: {prefix: /p}, scheme: {prefix: htt}},"
            "{uri: {prefix: /r}, scheme: {regex: 'h.*p'}}, {uri: {prefix: /s}, scheme: {exact: https}}"
        ),
        asks=(
            ask("a:9080/e", by="three"),
            ask("a:9080/p", by="three"),
            ask("a:9080/r", by="three"),
            ask("a:9080/s", by="one"),
        ),
    ),
    Case(
        "the authority is compared as the client sent it",
        f"{_MATCH}.authority.{{exact,prefix,regex}}",
        _rule(
            "{authority: {exact: 'a.default:9080'}}, {authority: {prefix: 'a.default.svc.'}},"
            r"{authority: {regex: 'a\.default\.svc(:[0-9]+)?'}}"
        ),
        asks=(
            ask("a.default:9080/", by="three"),
            ask("a.default.svc.cluster.local:9080/", by="three"),
            ask("a.default.svc:9080/", by="three"),
            ask("a:9080/", by="one"),
        ),
    ),
    Case(
        "headers are compared, or only have to be there",
        f"{_MATCH}.headers {_MATCH}.headers{{}}.{{exact,prefix,regex}}",
        _rule(
            "{headers: {x-e: {exact: one}}}, {headers: {x-p: {prefix: tw}}},"
            "{headers: {x-r: {regex: 't[h]ree'}}}, {headers: {x-there: {}}}"
        ),
        asks=(
            ask("a:9080/", headers={"x-e": "one"}, by="three"),
            ask("a:9080/", headers={"x-e": "oneself"}, by="one"),
            ask("a:9080/", headers={"x-p": "two"}, by="three"),
            ask("a:9080/", headers={"x-r": "three"}, by="three"),
            ask("a:9080/", headers={"x-there": ""}, by="three"),
            ask("a:9080/", by="one"),
        ),
    ),
    Case(
        "parameters of the query are compared, or only have to be there",
        f"{_MATCH}.queryParams {_MATCH}.queryParams{{}}.{{exact,prefix,regex}}",
        _rule(
            "{queryParams: {e: {exact: '1'}}}, {queryParams: {p: {prefix: tw}}},"
            "{queryParams: {r: {regex: 't[h]ree'}}}, {queryParams: {there: {}}}"
        ),
        asks=(
            ask("a:9080/?e=1", by="three"),
            ask("a:9080/?e=12", by="one"),
            ask("a:9080/?p=two", by="three"),
            ask("a:9080/?r=three", by="three"),
            ask("a:9080/?there", by="three"),
            ask("a:9080/", by="one"),
        ),
    ),
    Case(
        "headers may have to be absent, or to be other than said",
        f"{_MATCH}.withoutHeaders {_MATCH}.withoutHeaders{{}}.{{exact,prefix,regex}}",
        _rule(
            "{uri: {prefix: /e}, withoutHeaders: {x: {exact: one}}},"
            "{uri: {prefix: /p}, withoutHeaders: {x: {prefix: 'on'}}},"
            "{uri: {prefix: /r}, withoutHeaders: {x: {regex: 'o.e'}}},"
            "{uri: {prefix: /n}, withoutHeaders: {x: {}}}"
        ),
        asks=(
            ask("a:9080/e", by="three"),
            ask("a:9080/e", headers={"x": "ones"}, by="three"),
            ask("a:9080/e", headers={"x": "one"}, by="one"),
            ask("a:9080/p", headers={"x": "one"}, by="one"),
            ask("a:9080/r", headers={"x": "one"}, by="one"),
            ask("a:9080/r", headers={"x": "none"}, by="three"),
            ask("a:9080/n", headers={"x": "any"}, by="one"),
            ask("a:9080/n", by="three"),
        ),
    ),
    Case(
        "a rule, and a block of it, give Envoy's route its name and its counters",
        f"VirtualService.spec.http[].name {_MATCH}.{{name,statPrefix}}",
        _rule(
            "{uri: {prefix: /n}, name: block, statPrefix: counted}",
            "name: rule\n    route: [{destination: {host: b}}]",
        ),
        accepted=(
            holds("host", "a:9080", {"routes": [{"name": "rule.block", "stat_prefix": "counted"}]}),
        ),
    ),
)

_WHOM = (
    Case(
        "a block may be for one port of the service",
        f"{_MATCH}.port",
        _rule("{uri: {prefix: /x}, port: 9080}, {uri: {prefix: /y}, port: 81}"),
        asks=(ask("a:9080/x", by="three"), ask("a:9080/y", by="one")),
    ),
    Case(
        "a block may be for workloads with certain labels, or of one namespace",
        f"{_MATCH}.{{sourceLabels,sourceNamespace}}",
        _rule(
            "{uri: {prefix: /l}, sourceLabels: {app: web}}, {uri: {prefix: /o}, sourceLabels: {app: db}},"
            "{uri: {prefix: /n}, sourceNamespace: default}, {uri: {prefix: /m}, sourceNamespace: else}"
        ),
        asks=(
            ask("a:9080/l", by="three"),
            ask("a:9080/o", by="one"),
            ask("a:9080/n", by="three"),
            ask("a:9080/m", by="one"),
        ),
    ),
    Case(
        "a block may be for some of the gateways that the object names",
        f"{_MATCH}.gateways",
        _rule(
            "{uri: {prefix: /m}, gateways: [mesh]}, {uri: {prefix: /g}, gateways: [gw]}",
            more="gateways: [mesh, gw]",
        ),
        asks=(ask("a:9080/m", by="three"), ask("a:9080/g", by="one")),
    ),
    Case(
        "rules of a gateway are used by no sidecar",
        "VirtualService.spec.gateways",
        "{kind: VirtualService, spec: {hosts: [a], gateways: [gw], http: [{directResponse: {status: 418}}]}}",
        asks=(ask("a:9080/"),),
    ),
    Case(
        "the hosts are those that clients address",
        "VirtualService.spec.hosts",
        """
kind: VirtualService
spec:
  hosts: [b, else.example.com]
  http: [{route: [{destination: {host: a, subset: v2}}]}]
---
"""
        + SUBSETS,
        asks=(ask("b:9080/", by="two"), ask("else.example.com/", by="two")),
    ),
    Case(
        "rules are used in the namespaces that they are exported to",
        "VirtualService.spec.exportTo",
        """
kind: VirtualService
metadata: {name: theirs, namespace: else}
spec:
  hosts: [a.default.svc.cluster.local]
  exportTo: [default]
  http: [{route: [{destination: {host: b.default.svc.cluster.local}}]}]
---
kind: VirtualService
metadata: {name: own, namespace: else}
spec:
  hosts: [b.default.svc.cluster.local]
  exportTo: ['.']
  http: [{directResponse: {status: 418}}]
""",
        asks=(ask("a:9080/", by="three"), ask("b:9080/", by="three")),
    ),
    Case(
        "a rule may use those of another object, also of another namespace",
        "VirtualService.spec.http[].delegate.{name,namespace}",
        """
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /x}}]
    delegate: {name: part, namespace: else}
  - route: [{destination: {host: a, subset: v1}}]
---
kind: VirtualService
metadata: {name: part, namespace: else}
spec:
  http:
  - match: [{uri: {prefix: /x/y}}]
    route: [{destination: {host: b.default.svc.cluster.local}}]
---
"""
        + SUBSETS,
        asks=(
            ask("a:9080/x/y", by="three"),
            ask("a:9080/x", by="one"),
            ask("a:9080/", by="one"),
        ),
    ),
)

_DESTINATIONS = (
    Case(
        "a destination is a service, a subset of it and one of its ports",
        "VirtualService.spec.http[].route[].destination.{host,subset,port.number}",
        """
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /v2}}]
    route: [{destination: {host: a, subset: v2, port: {number: 9080}}}]
  - match: [{uri: {prefix: /two}}]
    route: [{destination: {host: ports, port: {number: 82}}}]
  - route: [{destination: {host: b}}]
---
kind: ServiceEntry
metadata: {name: ports}
spec:
  hosts: [ports.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 81, name: x, protocol: HTTP}, {number: 82, name: y, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {x: $one, y: $two}}]
---
"""
        + SUBSETS,
        asks=(
            ask("a:9080/v2", by="two"),
            ask("a:9080/two", by="two"),
            ask("a:9080/", by="three"),
        ),
    ),
    Case(
        "destinations share requests by weight, and those of weight 0 get none",
        "VirtualService.spec.http[].route[].weight",
        """
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /all}}]
    route: [{destination: {host: a, subset: v1}, weight: 1}, {destination: {host: a, subset: v2}}]
  - route: [{destination: {host: a, subset: v1}, weight: 30}, {destination: {host: b}, weight: 70}]
---
"""
        + SUBSETS,
        asks=(ask("a:9080/all", by="one", times=8),),
        accepted=(
            holds(
                "host",
                "a:9080",
                {
                    "routes": [
                        {
                            "route": {
                                "weighted_clusters": {"clusters": [{"weight": 30}, {"weight": 70}]}
                            }
                        }
                    ]
                },
            ),
        ),
    ),
)

CASES = (*_CONDITIONS, *_WHOM, *_DESTINATIONS)
