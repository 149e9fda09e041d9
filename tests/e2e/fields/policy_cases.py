"""Proofs of a DestinationRule's policies: balancing, pools, outliers, in each place where they may stand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from sidecar.mesh.model import Context, Locality
from tests.harness.field_cases import BASE, SUBSETS, Case, ask, holds, service
from tests.harness.field_envoy import Served
from tests.harness.field_places import policy_cases

__all__ = ["CASES"]

_LB, _HASH = "loadBalancer", "loadBalancer.consistentHash"
_LOCALITY, _ZONES = "loadBalancer.localityLbSetting", "loadBalancer.zoneAwareLbSetting"
_TCP, _HTTP = "connectionPool.tcp", "connectionPool.http"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _cluster(**part: object) -> Any:
    return holds("cluster", "$cluster", part)


def _limits(**fields: object) -> Any:
    return _cluster(circuit_breakers={"thresholds": [fields]})


def _speaks(**fields: object) -> Any:
    return _cluster(typed_extension_protocol_options={_OPTIONS: fields})


def _alike(how: Callable[[str], dict[str, Any]]) -> Callable[[Served], Awaitable[None]]:
    """Requests with one key go to one server."""

    async def check(served: Served) -> None:
        met: dict[str, set[str]] = {}
        for key in (f"key-{n}" for n in range(24)):
            for _ in range(3):
                asked = {"at": "outbound", "url": "a:9080/", **how(key)}
                answer = await served.get(asked.pop("at"), asked.pop("url"), **asked)
                met.setdefault(key, set()).add(answer.text)
        assert {len(servers) for servers in met.values()} == {1}, met

    return check


def _hashes(**part: object) -> Any:
    return holds("host", "a:9080", {"routes": [{"route": {"hash_policy": [part]}}]})


_BALANCING = (
    *policy_cases(
        "an algorithm is Envoy's",
        f"{_LB}.simple",
        "loadBalancer: {simple: RANDOM}",
        accepted=[_cluster(lb_policy="RANDOM")],
    ),
    *policy_cases(
        "requests with one header go to one endpoint of a ring",
        f"{_HASH}.{{httpHeaderName,ringHash.minimumRingSize}}",
        "loadBalancer: {consistentHash: {httpHeaderName: x-user, ringHash: {minimumRingSize: 2048}}}",
        accepted=[
            _cluster(lb_policy="RING_HASH", ring_hash_lb_config={"minimum_ring_size": 2048}),
            _hashes(header={"header_name": "x-user"}),
        ],
        check=_alike(lambda key: {"headers": {"x-user": key}}),
    ),
    *policy_cases(
        "the smallest ring may be given in the old spelling",
        f"{_HASH}.minimumRingSize",
        "loadBalancer: {consistentHash: {httpHeaderName: x-user, minimumRingSize: 4096}}",
        accepted=[_cluster(ring_hash_lb_config={"minimum_ring_size": 4096})],
    ),
    *policy_cases(
        "requests with one cookie go to one endpoint of a Maglev table; Envoy makes the cookie",
        f"{_HASH}.{{maglev.tableSize,httpCookie.{{name,path,ttl}}}} {_HASH}.httpCookie.attributes[].{{name,value}}",
        """
        loadBalancer:
          consistentHash:
            httpCookie: {name: c, path: /p, ttl: 60s, attributes: [{name: SameSite, value: Lax}]}
            maglev: {tableSize: 1009}
        """,
        accepted=[
            _cluster(lb_policy="MAGLEV", maglev_lb_config={"table_size": 1009}),
            _hashes(
                cookie={
                    "name": "c",
                    "path": "/p",
                    "ttl": "60s",
                    "attributes": [{"name": "SameSite", "value": "Lax"}],
                }
            ),
        ],
        check=_alike(lambda key: {"headers": {"cookie": f"c={key}"}}),
    ),
    *policy_cases(
        "requests with one parameter of the query go to one endpoint",
        f"{_HASH}.httpQueryParameterName",
        "loadBalancer: {consistentHash: {httpQueryParameterName: id}}",
        accepted=[_hashes(query_parameter={"name": "id"})],
        check=_alike(lambda key: {"url": f"a:9080/?id={key}"}),
    ),
    *policy_cases(
        "requests of one client go to one endpoint",
        f"{_HASH}.useSourceIp",
        "loadBalancer: {consistentHash: {useSourceIp: true}}",
        accepted=[_hashes(connection_properties={"source_ip": True})],
    ),
    *policy_cases(
        "new endpoints start slowly",
        f"{_LB}.warmup.{{duration,minimumPercent,aggression}}",
        """
        loadBalancer:
          simple: ROUND_ROBIN
          warmup: {duration: 30s, minimumPercent: 20, aggression: 2}
        """,
        accepted=[
            _cluster(
                round_robin_lb_config={
                    "slow_start_config": {
                        "slow_start_window": "30s",
                        "aggression": {"default_value": 2.0},
                        "min_weight_percent": {"value": 20.0},
                    }
                }
            )
        ],
    ),
    *policy_cases(
        "new endpoints start slowly, in the old spelling",
        f"{_LB}.warmupDurationSecs",
        "loadBalancer: {simple: LEAST_REQUEST, warmupDurationSecs: 45s}",
        accepted=[
            _cluster(least_request_lb_config={"slow_start_config": {"slow_start_window": "45s"}})
        ],
    ),
)

_POOLS = (
    *policy_cases(
        "limits of a pool are circuit breakers",
        f"{_TCP}.maxConnections {_HTTP}.{{http1MaxPendingRequests,http2MaxRequests,maxRetries}}",
        """
        connectionPool:
          tcp: {maxConnections: 11}
          http: {http1MaxPendingRequests: 12, http2MaxRequests: 13, maxRetries: 14}
        """,
        accepted=[
            _limits(max_connections=11, max_pending_requests=12, max_requests=13, max_retries=14)
        ],
    ),
    *policy_cases(
        "connections are made in time, looked after, and closed",
        f"{_TCP}.{{connectTimeout,maxConnectionDuration,tcpKeepalive.{{probes,time,interval}}}}",
        """
        connectionPool:
          tcp:
            connectTimeout: 0.25s
            maxConnectionDuration: 3600s
            tcpKeepalive: {probes: 3, time: 60s, interval: 10s}
        """,
        accepted=[
            _cluster(
                connect_timeout="0.250s",
                upstream_connection_options={
                    "tcp_keepalive": {
                        "keepalive_probes": 3,
                        "keepalive_time": 60,
                        "keepalive_interval": 10,
                    }
                },
            ),
            _speaks(common_http_protocol_options={"max_connection_duration": "3600s"}),
        ],
    ),
    *policy_cases(
        "an idle connection is closed",
        f"{_TCP}.idleTimeout",
        "connectionPool: {tcp: {idleTimeout: 8s}}",
        accepted=[_speaks(common_http_protocol_options={"idle_timeout": "8s"})],
    ),
    *policy_cases(
        "an idle connection of HTTP is closed, and one after so many requests",
        f"{_HTTP}.{{idleTimeout,maxRequestsPerConnection}}",
        "connectionPool: {http: {idleTimeout: 7s, maxRequestsPerConnection: 9}}",
        accepted=[
            _speaks(
                common_http_protocol_options={
                    "idle_timeout": "7s",
                    "max_requests_per_connection": 9,
                }
            )
        ],
    ),
    *policy_cases(
        "requests are sent on as HTTP/2, with its own limits",
        f"{_HTTP}.{{h2UpgradePolicy,maxConcurrentStreams,http2KeepAlive.{{interval,timeout}}}}",
        """
        connectionPool:
          http:
            h2UpgradePolicy: UPGRADE
            maxConcurrentStreams: 17
            http2KeepAlive: {interval: 10s, timeout: 2s}
        """,
        accepted=[
            _speaks(
                explicit_http_config={
                    "http2_protocol_options": {
                        "max_concurrent_streams": 17,
                        "connection_keepalive": {"interval": "10s", "timeout": "2s"},
                    }
                }
            )
        ],
    ),
    *policy_cases(
        "requests are sent on in the protocol in which they came",
        f"{_HTTP}.useClientProtocol",
        "connectionPool: {http: {useClientProtocol: true}}",
        accepted=[_speaks(use_downstream_protocol_config={"http2_protocol_options": {}})],
        asks=(ask("a:9080/"),),
    ),
    *policy_cases(
        "retries are limited in proportion to requests",
        "retryBudget.{percent,minRetryConcurrency}",
        "retryBudget: {percent: 25, minRetryConcurrency: 5}",
        accepted=[
            _limits(
                retry_budget={"budget_percent": {"value": 25.0}, "min_retry_concurrency": 5},
            )
        ],
        ports=False,
    ),
    *policy_cases(
        "requests are counted over a time for that",
        "retryBudget.budgetInterval",
        "retryBudget: {percent: 25, budgetInterval: 2s}",
        # Our messages do not know the field yet, so that it is seen at Envoy alone.
        accepted=[_limits(retry_budget={"budget_interval": "2s"})],
        asks=(ask("a:9080/"),),
        ports=False,
    ),
    *policy_cases(
        "the client's address is sent ahead",
        "proxyProtocol.version",
        "proxyProtocol: {version: V2}",
        accepted=[
            _cluster(transport_socket={"typed_config": {"config": {"version": "V2"}}}),
        ],
        ports=False,
    ),
)

_OUTLIERS = (
    *policy_cases(
        "failing endpoints are ejected",
        "outlierDetection.{consecutive5xxErrors,consecutiveGatewayErrors,interval,baseEjectionTime,"
        "maxEjectionPercent,minHealthPercent,splitExternalLocalOriginErrors,"
        "consecutiveLocalOriginFailures}",
        """
        outlierDetection:
          consecutive5xxErrors: 3
          consecutiveGatewayErrors: 2
          interval: 1s
          baseEjectionTime: 180s
          maxEjectionPercent: 60
          minHealthPercent: 30
          splitExternalLocalOriginErrors: true
          consecutiveLocalOriginFailures: 4
        """,
        accepted=[
            _cluster(
                outlier_detection={
                    "consecutive_5xx": 3,
                    "consecutive_gateway_failure": 2,
                    "enforcing_consecutive_gateway_failure": 100,
                    "interval": "1s",
                    "base_ejection_time": "180s",
                    "max_ejection_percent": 60,
                    "split_external_local_origin_errors": True,
                    "consecutive_local_origin_failure": 4,
                },
                common_lb_config={"healthy_panic_threshold": {"value": 30.0}},
            )
        ],
    ),
    *policy_cases(
        "which answers count as failures may be said",
        "outlierDetection.outlierDetectionHttpErrorCodes",
        "outlierDetection: {outlierDetectionHttpErrorCodes: [429]}",
        accepted=[
            _speaks(
                outlier_detection={
                    "error_matcher": {
                        "http_response_headers_match": {
                            "headers": [{"name": ":status", "string_match": {"exact": "429"}}]
                        }
                    }
                }
            )
        ],
    ),
)

_REGIONS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 9080, name: p, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {p: $one}, labels: {version: v1, rack: far}, locality: r1/z1}
  - {address: 127.0.0.1, ports: {p: $two}, labels: {version: v1, rack: near}, locality: r2/z2}
  - {address: 127.0.0.1, ports: {p: $three}, labels: {version: v1, rack: far}, locality: r3/z3}
---
"""
_THERE = Context("", "default", {"app": "web", "rack": "near"}, locality=Locality("r1", "z1"))
_OUT = "outlierDetection: {consecutive5xxErrors: 5}"


def _ranked(**places: int) -> Any:
    """Priorities by region."""
    parts = [
        {"locality": {"region": region}, "priority": number or None}
        for region, number in places.items()
    ]
    return holds("endpoints", "$cluster", {"endpoints": parts})


_NEARNESS = (
    *policy_cases(
        "localities share requests as said",
        f"{_LOCALITY}.distribute[].{{from,to}}",
        "loadBalancer: {localityLbSetting: {distribute: [{from: r1/*, to: {r2/z2: 80, r3/z3: 20}}]}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[
            holds(
                "endpoints",
                "$cluster",
                {
                    "endpoints": [
                        {"locality": {"region": "r2"}, "load_balancing_weight": 80},
                        {"locality": {"region": "r3"}, "load_balancing_weight": 20},
                    ]
                },
            )
        ],
    ),
    *policy_cases(
        "another region takes over when endpoints fail",
        f"{_LOCALITY}.failover[].{{from,to}}",
        f"{{loadBalancer: {{localityLbSetting: {{failover: [{{from: r1, to: r3}}]}}}}, {_OUT}}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_ranked(r1=0, r3=1, r2=2)],
    ),
    *policy_cases(
        "endpoints with like labels are preferred",
        f"{_LOCALITY}.failoverPriority",
        f"{{loadBalancer: {{localityLbSetting: {{failoverPriority: [rack]}}}}, {_OUT}}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_ranked(r2=0, r1=1, r3=1)],
    ),
    *policy_cases(
        "locality may count for nothing",
        f"{_LOCALITY}.enabled",
        f"{{loadBalancer: {{localityLbSetting: {{enabled: false}}}}, {_OUT}}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_ranked(r1=0, r2=0, r3=0)],
    ),
    *policy_cases(
        "Envoy keeps requests in their zone where a destination has so many endpoints",
        f"{_ZONES}.minClusterSize",
        "loadBalancer: {zoneAwareLbSetting: {minClusterSize: 3}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_cluster(common_lb_config={"zone_aware_lb_config": {"min_cluster_size": 3}})],
    ),
    *policy_cases(
        "zone-aware routing may be turned off, and near zones then come first",
        f"{_ZONES}.enabled",
        f"{{loadBalancer: {{zoneAwareLbSetting: {{enabled: false}}}}, {_OUT}}}",
        services=_REGIONS.replace("r2/z2", "r1/z2"),
        context=_THERE,
        accepted=[
            holds(
                "endpoints",
                "$cluster",
                {
                    "endpoints": [
                        {"locality": {"region": "r1", "zone": "z1"}},
                        {"locality": {"region": "r1", "zone": "z2"}, "priority": 1},
                    ]
                },
            )
        ],
    ),
    *policy_cases(
        "regions take over in order beside zone-aware routing",
        f"{_ZONES}.failover[].{{from,to}}",
        f"{{loadBalancer: {{zoneAwareLbSetting: {{failover: [{{from: r1, to: r3}}]}}}}, {_OUT}}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_ranked(r1=0, r3=1, r2=2)],
    ),
    *policy_cases(
        "endpoints with like labels are preferred beside zone-aware routing",
        f"{_ZONES}.failoverPriority",
        f"{{loadBalancer: {{zoneAwareLbSetting: {{failoverPriority: [rack]}}}}, {_OUT}}}",
        services=_REGIONS,
        context=_THERE,
        accepted=[_ranked(r2=0, r1=1, r3=1)],
    ),
)

_TLS_SERVICE = BASE.replace("$one", "$tls").replace("$two", "$tls")
_TLS = (
    *policy_cases(
        "requests are put into TLS, and the server's certificate is verified by these authorities",
        "tls.{mode,caCertificates}",
        "tls: {mode: SIMPLE, caCertificates: $folder/ca.pem}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", by="tls", saw={":sni": "a", ":client": ""}),),
    ),
    *policy_cases(
        "the server is asked for a name, and has to bear one",
        "tls.{sni,subjectAltNames}",
        "tls: {mode: SIMPLE, caCertificates: $folder/ca.pem, sni: named.example.com,"
        " subjectAltNames: [named.example.com]}",
        services=_TLS_SERVICE,
        asks=(ask("a.default:9080/", by="tls", saw={":sni": "named.example.com"}),),
    ),
    *policy_cases(
        "a server without the name is refused",
        "tls.subjectAltNames",
        "tls: {mode: SIMPLE, caCertificates: $folder/ca.pem, subjectAltNames: [else.example.com]}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", status=503),),
    ),
    *policy_cases(
        "a server may be taken unverified",
        "tls.insecureSkipVerify",
        "tls: {mode: SIMPLE, insecureSkipVerify: true}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", by="tls"),),
    ),
    *policy_cases(
        "a revoked server is refused",
        "tls.caCrl",
        "tls: {mode: SIMPLE, caCertificates: $folder/ca.pem, caCrl: $folder/crl.pem}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", status=503),),
    ),
    *policy_cases(
        "the client's certificate lies in files",
        "tls.{clientCertificate,privateKey}",
        "tls: {mode: MUTUAL, caCertificates: $folder/ca.pem, clientCertificate: $folder/client.pem,"
        " privateKey: $folder/client.key}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", by="tls", saw={":client": "client"}),),
    ),
    *policy_cases(
        "the client's certificate lies in the folder of a credential",
        "tls.credentialName",
        "tls: {mode: MUTUAL, credentialName: shown}",
        services=_TLS_SERVICE,
        asks=(ask("a:9080/", by="tls", saw={":client": "client"}),),
    ),
)


async def _one_at_once(served: Served) -> None:
    """Two requests at a time to a slow server: one is refused."""
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await served.get("outbound", "slow:9080/")).status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)
    assert sorted(statuses) == [200, 503], statuses


async def _new_connections(served: Served) -> None:
    """Each request has a connection of its own."""
    before = served.servers["three"].connections
    for _ in range(4):
        assert (await served.get("outbound", "b:9080/")).text == "three"
    assert served.servers["three"].connections == before + 4


_RULES = (
    Case(
        "more requests at once than allowed are refused",
        "DestinationRule.spec.trafficPolicy.connectionPool.http.http2MaxRequests",
        """
kind: DestinationRule
spec: {host: slow, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}
""",
        services=service("slow", ("$slow", "v1")),
        check=_one_at_once,
    ),
    Case(
        "a connection serves as many requests as allowed",
        "DestinationRule.spec.trafficPolicy.connectionPool.http.maxRequestsPerConnection",
        """
kind: DestinationRule
spec: {host: b, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}
""",
        check=_new_connections,
    ),
    Case(
        "a policy of one port is for that port alone",
        "DestinationRule.spec.trafficPolicy.portLevelSettings[].port.number"
        " DestinationRule.spec.subsets[].trafficPolicy.portLevelSettings[].port.number",
        """
kind: DestinationRule
spec:
  host: a
  trafficPolicy:
    portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: ROUND_ROBIN}}]}
---
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: a, subset: v1}}]
  - route: [{destination: {host: a}}]
""",
        accepted=(
            holds("cluster", "outbound|9080||a.default.svc.cluster.local", {"lb_policy": "RANDOM"}),
            holds("cluster", "outbound|9080|v1|a.default.svc.cluster.local", {"lb_policy": None}),
        ),
    ),
    Case(
        "subsets are endpoints by their labels",
        "DestinationRule.spec.{host,subsets[].{name,labels}}",
        """
kind: VirtualService
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: a, subset: v1}}]
  - route: [{destination: {host: a, subset: v2}}]
---
"""
        + SUBSETS,
        asks=(ask("a:9080/v1", by="one", times=4), ask("a:9080/", by="two", times=4)),
    ),
    Case(
        "a rule is used in the namespaces that it is exported to",
        "DestinationRule.spec.exportTo",
        """
kind: DestinationRule
metadata: {name: theirs, namespace: meshd-system}
spec:
  host: a.default.svc.cluster.local
  exportTo: ['.']
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
""",
        accepted=(
            holds(
                "cluster",
                "outbound|9080||a.default.svc.cluster.local",
                {"lb_policy": "LEAST_REQUEST"},
            ),
        ),
    ),
    Case(
        "a rule may be for some client workloads",
        "DestinationRule.spec.workloadSelector.matchLabels",
        """
kind: DestinationRule
spec:
  host: a
  workloadSelector: {matchLabels: {app: else}}
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
---
kind: DestinationRule
spec:
  host: b
  workloadSelector: {matchLabels: {app: web}}
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
""",
        accepted=(
            holds(
                "cluster",
                "outbound|9080||a.default.svc.cluster.local",
                {"lb_policy": "LEAST_REQUEST"},
            ),
            holds("cluster", "outbound|9080||b.default.svc.cluster.local", {"lb_policy": "RANDOM"}),
        ),
    ),
)

_PROXIED = """
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: $port, name: p, protocol: TCP}]
  endpoints: [{address: 127.0.0.1, ports: {p: $one}, labels: {version: v1}}]
---
kind: Sidecar
metadata: {name: default}
spec:
  egress:
  - {port: {number: $port, protocol: TCP, name: own}, hosts: ['*/db.default.svc.cluster.local']}
  - {hosts: ['*/*']}
"""


def _tunnels() -> tuple[Case, ...]:
    tunnel = "tunnel: {protocol: POST, targetHost: far.example.com, targetPort: 443}"
    cases = []
    for place, spec in (
        ("spec.trafficPolicy", f"trafficPolicy: {{{tunnel}}}"),
        (
            "spec.subsets[].trafficPolicy",
            f"subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{tunnel}}}}}]",
        ),
    ):
        to = "{host: db, subset: v1}" if "subsets" in place else "{host: db}"
        rules = f"""
kind: DestinationRule
spec: {{host: db, {spec}}}
---
kind: VirtualService
spec: {{hosts: [db], tcp: [{{route: [{{destination: {to}}}]}}]}}
"""
        chain = {
            "typed_config": {
                "tunneling_config": {"hostname": "far.example.com:443", "use_post": True}
            }
        }
        cases.append(
            Case(
                f"connections are tunnelled through a proxy, at {place.removeprefix('spec.')}",
                f"DestinationRule.{place}.tunnel.{{protocol,targetHost,targetPort}}",
                rules,
                services=_PROXIED,
                accepted=(holds("listener", "$port", {"filter_chains": [{"filters": [chain]}]}),),
            )
        )
    return tuple(cases)


CASES: tuple[Case, ...] = (
    *_tunnels(),
    *_BALANCING,
    *_POOLS,
    *_OUTLIERS,
    *_NEARNESS,
    *_TLS,
    *_RULES,
)
