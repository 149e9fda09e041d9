"""Proofs of ServiceEntries and WorkloadEntries: names, ports, endpoints and who sees them."""

from __future__ import annotations

from sidecar.mesh.model import Context, Locality
from tests.harness.field_cases import Case, Holds, ask, holds

__all__ = ["CASES"]

_SE, _WE = "ServiceEntry.spec", "WorkloadEntry.spec"
_CLUSTER = "outbound|80||s.example.com"
_PORT = "ports: [{number: 80, name: p, protocol: HTTP}]"
_STATIC = f"resolution: STATIC, {_PORT}"
_ON = "address: 127.0.0.1, ports: {p: $one}"


def _entry(spec: str, more: str = "") -> str:
    return f"""
kind: ServiceEntry
metadata: {{name: s}}
spec: {{{spec}}}
---
{more}"""


def _workload(spec: str, labels: str = "{}") -> str:
    """A service whose endpoints are selected, and one WorkloadEntry."""
    return f"""
kind: ServiceEntry
metadata: {{name: s}}
spec: {{hosts: [s.example.com], {_STATIC}, workloadSelector: {{labels: {{app: s}}}}}}
---
kind: WorkloadEntry
metadata: {{name: w, labels: {labels}}}
spec: {spec}
"""


def _endpoint(**part: object) -> tuple[Holds, ...]:
    return (holds("endpoints", _CLUSTER, {"endpoints": [part]}),)


_SERVICES = (
    Case(
        "a service has names, ports, and endpoints with ports of their own",
        f"{_SE}.{{hosts,resolution,ports[].{{number,name,protocol}},endpoints[].{{address,ports}}}}",
        _entry(f"hosts: [s.example.com], {_STATIC}, endpoints: [{{{_ON}}}]"),
        services="",
        asks=(ask("s.example.com/", by="one"),),
    ),
    Case(
        "a service's endpoints listen on another port than clients address",
        f"{_SE}.ports[].targetPort",
        _entry(
            "hosts: [s.example.com], resolution: STATIC,"
            " ports: [{number: 80, name: p, protocol: HTTP, targetPort: $two}],"
            " endpoints: [{address: 127.0.0.1}]"
        ),
        asks=(ask("s.example.com/", by="two"),),
    ),
    Case(
        "a service is reached by its virtual addresses as well",
        f"{_SE}.addresses",
        _entry(f"hosts: [s.example.com], addresses: [10.9.9.9], {_STATIC}, endpoints: [{{{_ON}}}]"),
        asks=(ask("10.9.9.9/", by="one"),),
    ),
    Case(
        "a service is seen in the namespaces that it is exported to",
        f"{_SE}.exportTo",
        """
kind: ServiceEntry
metadata: {name: s, namespace: else}
spec: {hosts: [a.default.svc.cluster.local], exportTo: ['.'], %s, endpoints: [{%s}]}
---
kind: ServiceEntry
metadata: {name: t, namespace: else}
spec: {hosts: [t.example.com], exportTo: [default], %s, endpoints: [{%s}]}
---
kind: ServiceEntry
metadata: {name: u, namespace: else}
spec: {hosts: [a.example.com], exportTo: ['.'], %s, endpoints: [{%s}]}
---
kind: MeshConfig
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""
        % ((_STATIC, _ON) * 3),
        asks=(ask("t.example.com/", by="one"), ask("a.example.com/", status=502)),
    ),
    Case(
        "a service's endpoints may be selected by their labels",
        f"{_SE}.workloadSelector.labels {_WE}.{{address,ports,labels}}",
        _workload(f"{{{_ON}, labels: {{app: s}}}}")
        + """---
kind: WorkloadEntry
metadata: {name: other}
spec: {address: 127.0.0.1, ports: {p: $two}, labels: {app: else}}
""",
        asks=(ask("s.example.com/", by="one", times=4),),
    ),
    Case(
        "a server has to bear the names that its service has",
        f"{_SE}.subjectAltNames",
        _entry(
            f"hosts: [s.example.com], {_STATIC}, subjectAltNames: [named.example.com],"
            " endpoints: [{address: 127.0.0.1, ports: {p: $tls}}]",
            """
kind: DestinationRule
spec: {host: s.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: $folder/ca.pem}}}
""",
        ),
        asks=(ask("s.example.com/", by="tls"),),
    ),
)

_MESH_TLS = {
    "metadata": {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}}
}
_HERE = Context(
    "", "default", {"app": "web", "version": "v2"}, locality=Locality("r1", "z1"), network="n1"
)
_RANKED = """
kind: DestinationRule
spec:
  host: s.example.com
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 5}
    loadBalancer: {localityLbSetting: {failoverPriority: [topology.istio.io/network]}}
"""

_ENDPOINTS = (
    Case(
        "an endpoint has a locality and a weight, and labels that subsets go by",
        f"{_SE}.endpoints[].{{locality,weight,labels}}",
        _entry(
            f"hosts: [s.example.com], {_STATIC}, endpoints: [{{{_ON}, locality: r1/z1/s1,"
            " weight: 7, labels: {version: v1}}, {address: 127.0.0.1, ports: {p: $two}}]",
            """
kind: DestinationRule
spec: {host: s.example.com, subsets: [{name: v1, labels: {version: v1}}]}
---
kind: VirtualService
spec: {hosts: [s.example.com], http: [{route: [{destination: {host: s.example.com, subset: v1}}]}]}
""",
        ),
        asks=(ask("s.example.com/", by="one", times=4),),
        accepted=(
            holds(
                "endpoints",
                "outbound|80|v1|s.example.com",
                {
                    "endpoints": [
                        {
                            "locality": {"region": "r1", "zone": "z1", "sub_zone": "s1"},
                            "lb_endpoints": [{"load_balancing_weight": 7}],
                        }
                    ]
                },
            ),
        ),
    ),
    Case(
        "an endpoint with a service account can take the mesh's own TLS",
        f"{_SE}.endpoints[].serviceAccount",
        _entry(f"hosts: [s.example.com], {_STATIC}, endpoints: [{{{_ON}, serviceAccount: s}}]"),
        accepted=_endpoint(lb_endpoints=[_MESH_TLS]),
    ),
    Case(
        "endpoints of the mesh are reached by its own TLS, those outside never",
        f"{_SE}.location",
        _entry(
            f"hosts: [s.example.com], location: MESH_INTERNAL, {_STATIC},"
            f" endpoints: [{{{_ON}, serviceAccount: s}}]"
        ),
        accepted=(
            holds(
                "cluster", _CLUSTER, {"transport_socket_matches": [{"match": {"tlsMode": "istio"}}]}
            ),
        ),
        has_identity=True,
    ),
    Case(
        "a selected workload with a service account can take the mesh's own TLS",
        f"{_WE}.serviceAccount",
        _workload(f"{{{_ON}, labels: {{app: s}}, serviceAccount: s}}"),
        accepted=_endpoint(lb_endpoints=[_MESH_TLS]),
    ),
    Case(
        "an endpoint of the own network is preferred where the rule says so",
        f"{_SE}.endpoints[].network",
        _entry(
            f"hosts: [s.example.com], {_STATIC}, endpoints: [{{{_ON}, network: n2}},"
            " {address: 127.0.0.1, ports: {p: $two}, network: n1}]",
            _RANKED,
        ),
        context=_HERE,
        asks=(ask("s.example.com/", by="two", times=4),),
    ),
    Case(
        "a selected workload has a locality and a weight",
        f"{_WE}.{{locality,weight}}",
        _workload(f"{{{_ON}, labels: {{app: s}}, locality: r1/z1/s1, weight: 7}}"),
        asks=(ask("s.example.com/", by="one"),),
        accepted=(
            holds(
                "endpoints",
                _CLUSTER,
                {
                    "endpoints": [
                        {
                            "locality": {"region": "r1", "zone": "z1", "sub_zone": "s1"},
                            "lb_endpoints": [{"load_balancing_weight": 7}],
                        }
                    ]
                },
            ),
        ),
    ),
    Case(
        "a selected workload of the own network is preferred where the rule says so",
        f"{_WE}.network",
        _workload(f"{{{_ON}, labels: {{app: s}}, network: n2}}")
        + """---
kind: WorkloadEntry
metadata: {name: near}
spec: {address: 127.0.0.1, ports: {p: $two}, labels: {app: s}, network: n1}
---
"""
        + _RANKED,
        context=_HERE,
        asks=(ask("s.example.com/", by="two", times=4),),
    ),
)

_BY_NAME = tuple(
    Case(
        f"the endpoints of a service are found by {resolution}",
        f"{_SE}.resolution",
        _entry(
            f"hosts: [s.example.com], resolution: {resolution}, {_PORT},"
            " endpoints: [{address: localhost, ports: {p: $one}}]"
        ),
        asks=(ask("s.example.com/", by="one"),),
    )
    for resolution in ("DNS", "DNS_ROUND_ROBIN")
)
_UNDER_WILDCARDS = (
    Case(
        "a service may be any name under a wildcard, looked up when it is asked for",
        f"{_SE}.hosts",
        _entry(
            "hosts: ['*.localhost'], resolution: DYNAMIC_DNS,"
            " ports: [{number: $one, name: p, protocol: HTTP}]",
            """
kind: MeshConfig
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
""",
        ),
        accepted=(
            holds(
                "cluster",
                "outbound|$one||*.localhost",
                {"cluster_type": {"name": "envoy.clusters.dynamic_forward_proxy"}},
            ),
        ),
    ),
)

CASES = (*_SERVICES, *_ENDPOINTS, *_BY_NAME, *_UNDER_WILDCARDS)
