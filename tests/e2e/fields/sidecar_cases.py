"""Proofs of a Sidecar: what it opens, which hosts it lets its workload reach, limits towards the application."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.harness.field_cases import BASE, SUBSETS, Case, ask, holds
from tests.harness.field_server_tls import server_tls_cases
from tests.harness.worlds import WEB

__all__ = ["CASES"]

_SC = "Sidecar.spec"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _sidecar(spec: str, more: str = "") -> str:
    return f"""
kind: Sidecar
metadata: {{name: default}}
spec: {{{spec}}}
---
{more}"""


_ALL = "{hosts: ['*/*']}"
_ON_PORT = BASE.replace("number: 9080", "number: $port")

_EGRESS = (
    Case(
        "hosts that are not imported are not known",
        f"{_SC}.egress[].hosts",
        _sidecar("egress: [{hosts: ['./b.default.svc.cluster.local']}]"),
        asks=(ask("b:9080/", by="three"),),
        accepted=(holds("routes", "outbound", {}),),
    ),
    Case(
        "a port of egress has a listener of its own, for the hosts that it imports there",
        f"{_SC}.egress[].{{hosts,port.number}}",
        _sidecar(
            "egress: [{port: {number: $port, protocol: HTTP, name: own},"
            f" hosts: ['./b.default.svc.cluster.local']}}, {_ALL}]"
        ),
        services=_ON_PORT,
        asks=(ask("b/", at="port", by="three"),),
    ),
    Case(
        "a port of egress passes bytes on where it is declared so",
        f"{_SC}.egress[].port.protocol",
        _sidecar(
            "egress: [{port: {number: $port, protocol: TCP, name: own},"
            f" hosts: ['./b.default.svc.cluster.local']}}, {_ALL}]"
        ),
        services=_ON_PORT,
        asks=(ask("any/", at="port", by="three"),),
    ),
    Case(
        "a port of egress has a listener of its own although traffic is captured",
        f"{_SC}.egress[].captureMode",
        _sidecar(
            "egress: [{port: {number: $port, protocol: HTTP, name: own}, captureMode: NONE,"
            f" hosts: ['./b.default.svc.cluster.local']}}, {_ALL}]"
        ),
        services=_ON_PORT,
        context=replace(WEB, is_captured=True),
        asks=(ask("b/", at="port", by="three"),),
    ),
    Case(
        "a listener of egress may be bound to an address",
        f"{_SC}.egress[].bind",
        _sidecar(
            "egress: [{port: {number: $port, protocol: HTTP, name: own}, bind: 127.0.0.8,"
            f" hosts: ['*/*']}}, {_ALL}]"
        ),
        services=_ON_PORT,
        accepted=(
            holds("listener", "$port", {"address": {"socket_address": {"address": "127.0.0.8"}}}),
        ),
    ),
    Case(
        "a Sidecar is for the workloads that it selects",
        f"{_SC}.workloadSelector.labels",
        _sidecar(
            "workloadSelector: {labels: {app: else}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY},"
            f" egress: [{_ALL}]"
        ),
        asks=(ask("127.0.0.1:$three/", by="three"),),
    ),
    Case(
        "hosts that the mesh does not know are refused where the Sidecar says so",
        f"{_SC}.outboundTrafficPolicy.mode",
        _sidecar(f"outboundTrafficPolicy: {{mode: ALLOW_ANY}}, egress: [{_ALL}]"),
        asks=(ask("127.0.0.1:$three/", by="three"),),
    ),
    Case(
        "traffic to hosts that the mesh does not know goes through a proxy",
        f"{_SC}.outboundTrafficPolicy.egressProxy.{{host,subset,port.number}}",
        _sidecar(
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy:"
            " {host: a.default.svc.cluster.local, subset: v2, port: {number: 9080}}},"
            f" egress: [{_ALL}]",
            SUBSETS,
        ),
        services=BASE.replace(
            "[{number: 9080,", "[{number: 9081, name: q, protocol: HTTP}, {number: 9080,", 1
        ),
        asks=(ask("nowhere.example.com/", by="two"),),
    ),
)

_INGRESS = (
    Case(
        "a port of ingress is opened and leads to the application",
        f"{_SC}.ingress[].{{port.{{number,protocol}},defaultEndpoint}}",
        _sidecar(
            "ingress: [{port: {number: $port, protocol: HTTP, name: own},"
            " defaultEndpoint: '127.0.0.1:$two'}]"
        ),
        asks=(ask("any/", at="port", by="two"),),
    ),
    Case(
        "a port of ingress may be bound to an address, and be opened beside a registered one",
        f"{_SC}.ingress[].{{bind,captureMode}}",
        _sidecar(
            "ingress: [{port: {number: $one, protocol: HTTP, name: own}, bind: 127.0.0.7,"
            " captureMode: NONE, defaultEndpoint: '127.0.0.1:$two'}]"
        ),
        asks=(ask("any/", at="inbound", by="two"),),
        accepted=(
            holds("listener", "$one", {"address": {"socket_address": {"address": "127.0.0.7"}}}),
        ),
    ),
)


def _pools() -> tuple[Case, ...]:
    """Limits towards the application, at a port of ingress and for all ports."""
    cases = []
    for name, proves, pool, part in _LIMITS:
        for place in ("ingress[].connectionPool", "inboundConnectionPool"):
            at_port = place.startswith("ingress")
            spec = f"inboundConnectionPool: {pool}, egress: [{_ALL}]"
            if at_port:
                spec = (
                    "ingress: [{port: {number: $port, protocol: HTTP, name: own},"
                    f" defaultEndpoint: '127.0.0.1:$two', connectionPool: {pool}}}]"
                )
            paths = " ".join(f"{_SC}.{place}.{path}" for path in proves.split())
            number = "$port" if at_port else "$inbound"
            held: Any = holds("cluster", f"inbound|{number}||", part)
            cases.append(Case(f"{name}, {place}", paths, _sidecar(spec), accepted=(held,)))
    return tuple(cases)


def _speaks(**fields: object) -> dict[str, object]:
    return {"typed_extension_protocol_options": {_OPTIONS: fields}}


_LIMITS: tuple[tuple[str, str, str, dict[str, object]], ...] = (
    (
        "limits towards the application are circuit breakers",
        "tcp.maxConnections http.{http1MaxPendingRequests,http2MaxRequests,maxRetries}",
        "{tcp: {maxConnections: 11}, http: {http1MaxPendingRequests: 12, http2MaxRequests: 13,"
        " maxRetries: 14}}",
        {
            "circuit_breakers": {
                "thresholds": [
                    {
                        "max_connections": 11,
                        "max_pending_requests": 12,
                        "max_requests": 13,
                        "max_retries": 14,
                    }
                ]
            }
        },
    ),
    (
        "connections to the application are made in time and looked after",
        "tcp.{connectTimeout,tcpKeepalive.{probes,time,interval}}",
        "{tcp: {connectTimeout: 0.25s, tcpKeepalive: {probes: 3, time: 60s, interval: 10s}}}",
        {
            "connect_timeout": "0.250s",
            "upstream_connection_options": {
                "tcp_keepalive": {
                    "keepalive_probes": 3,
                    "keepalive_time": 60,
                    "keepalive_interval": 10,
                }
            },
        },
    ),
    (
        "connections to the application are closed",
        "tcp.maxConnectionDuration http.{idleTimeout,maxRequestsPerConnection}",
        "{tcp: {maxConnectionDuration: 3600s}, http: {idleTimeout: 7s, maxRequestsPerConnection: 9}}",
        _speaks(
            common_http_protocol_options={
                "max_connection_duration": "3600s",
                "idle_timeout": "7s",
                "max_requests_per_connection": 9,
            }
        ),
    ),
    (
        "idle connections to the application are closed",
        "tcp.idleTimeout",
        "{tcp: {idleTimeout: 8s}}",
        _speaks(common_http_protocol_options={"idle_timeout": "8s"}),
    ),
    (
        "the application is spoken to as the client speaks",
        "http.{useClientProtocol,maxConcurrentStreams,http2KeepAlive.{interval,timeout}}",
        "{http: {useClientProtocol: true, maxConcurrentStreams: 17,"
        " http2KeepAlive: {interval: 10s, timeout: 2s}}}",
        _speaks(
            use_downstream_protocol_config={
                "http2_protocol_options": {
                    "max_concurrent_streams": 17,
                    "connection_keepalive": {"interval": "10s", "timeout": "2s"},
                }
            }
        ),
    ),
)


def _ends_tls(tls: str) -> str:
    """A port of ingress where TLS from outside the mesh ends."""
    return _sidecar(
        "ingress: [{port: {number: $port, protocol: HTTPS, name: own},"
        f" defaultEndpoint: '127.0.0.1:$two', tls: {tls}}}]"
    )


_TLS = server_tls_cases(f"{_SC}.ingress[].tls", _ends_tls, "two", edge=False)

CASES = (*_EGRESS, *_INGRESS, *_pools(), *_TLS)
