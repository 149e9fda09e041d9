"""Proofs of a WorkloadGroup: what a member registers, and how its application is probed."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from string import Template
from typing import Any

import grpc

from sidecar.agent.probing import ask as probe_once
from sidecar.registration.readiness import ProbeTimes
from store.objects.workload_group import ReadinessProbe
from tests.harness.field_building import STAND_INS, registered
from tests.harness.field_cases import Case, Holds, ask, holds
from tests.harness.field_envoy import Served

__all__ = ["CASES"]

_WG = "WorkloadGroup.spec"
_CLUSTER = "outbound|80||s.example.com"
_SERVICE = """
kind: ServiceEntry
metadata: {name: s}
spec:
  hosts: [s.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: s}}
---
"""


def _group(spec: str) -> str:
    return f"kind: WorkloadGroup\nmetadata: {{name: members}}\nspec: {{{spec}}}\n"


def _case(name: str, proves: str, spec: str, **more: Any) -> Case:
    return Case(name, proves, _group(spec), joins="members", services=_SERVICE, **more)


def _endpoint(**part: object) -> tuple[Holds, ...]:
    return (holds("endpoints", _CLUSTER, {"endpoints": [part]}),)


_LABELS = "metadata: {labels: {app: s}}"
_PORTS = "ports: {http: $one}"


def _registers(spec: str, **said: object) -> Callable[[Served], Awaitable[None]]:
    """The member's workload is registered so."""

    async def check(_: Served) -> None:
        member = registered(_case("", "", spec), STAND_INS)
        (workload,) = member.record().workloads
        found = {name: getattr(workload, name) for name in said}
        assert found == said, f"registered as {found}"

    return check


def _template(field: str, value: str, **said: object) -> Case:
    spec = f"{_LABELS}, template: {{{_PORTS}, {field}: {value}}}"
    return _case(
        f"a member has the {field} of its template",
        f"{_WG}.template.{field}",
        spec,
        asks=(ask("s.example.com/", by="one"),),
        check=_registers(spec, **said),
    )


_ANNOTATED = (
    "metadata: {labels: {app: s}, annotations: {owner: team-a}}, template: {ports: {http: 1}}"
)

_MEMBERS = (
    _case(
        "a host joins the services that select its group's labels, with the template's ports",
        f"{_WG}.{{metadata.labels,template.ports}}",
        f"{_LABELS}, template: {{{_PORTS}}}",
        asks=(ask("s.example.com/", by="one"),),
    ),
    _case(
        "labels of the template are the member's, too",
        f"{_WG}.template.labels",
        f"template: {{labels: {{app: s}}, {_PORTS}}}",
        asks=(ask("s.example.com/", by="one"),),
    ),
    _case(
        "annotations are shown with the member's workload",
        f"{_WG}.metadata.annotations",
        _ANNOTATED,
        check=_registers(_ANNOTATED, annotations={"owner": "team-a"}),
    ),
    _case(
        "a member has the locality and the weight of its template",
        f"{_WG}.template.{{locality,weight}}",
        f"{_LABELS}, template: {{{_PORTS}, locality: eu/a, weight: 7}}",
        accepted=_endpoint(
            locality={"region": "eu", "zone": "a"}, lb_endpoints=[{"load_balancing_weight": 7}]
        ),
    ),
    _template("network", "n1", network="n1"),
    _template("serviceAccount", "cart", service_account="cart"),
)


def _probing(
    spec: str, *, fails: Mapping[str, str] | None = None
) -> Callable[[Served], Awaitable[None]]:
    """The probe succeeds; with other words in its text it fails."""

    async def check(served: Served) -> None:
        places = {**STAND_INS, **served.ports, "python": sys.executable}
        for old, new in {"": "", **(fails or {})}.items():
            text = spec.replace(old, new) if old else spec
            member = registered(_case("", "", text), places)
            (probe,) = member.probes().values()
            reason = await probe_once(probe, 10.0)
            assert bool(reason) is bool(old), f"{Template(text).substitute(places)}: {reason!r}"

    return check


def _probe(name: str, proves: str, probe: str, **fails: str) -> Case:
    spec = f"{_LABELS}, template: {{{_PORTS}}}, probe: {{{probe}}}"
    check = _probing(spec, fails=fails)
    return _case(name, f"{_WG}.probe.{proves}", spec, check=check)


async def _grpc_probe(_: Served) -> None:
    asked: list[bytes] = []

    def serving(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(request)
        return b"\x08\x01"

    server = grpc.server(ThreadPoolExecutor(1))
    checks = {"Check": grpc.unary_unary_rpc_method_handler(serving)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", checks),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        probe = ReadinessProbe.model_validate({"grpc": {"port": port, "service": "cart"}})
        assert await probe_once(probe, 10.0) == ""
    finally:
        server.stop(None).wait()
    assert asked == [b"\x0a\x04cart"]


_TIMES = (
    f"{_LABELS}, template: {{{_PORTS}}}, probe: {{tcpSocket: {{port: 1}}, initialDelaySeconds: 1,"
    " timeoutSeconds: 2, periodSeconds: 3, successThreshold: 4, failureThreshold: 5}"
)


async def _timed(_: Served) -> None:
    (probe,) = registered(_case("", "", _TIMES), STAND_INS).probes().values()
    assert ProbeTimes.of(probe) == ProbeTimes(1.0, 2.0, 3.0, 4, 5)


_PROBES = (
    _probe(
        "an application is ready that answers HTTP below 400",
        "httpGet.{path,port,host,scheme,httpHeaders[].{name,value}}",
        "httpGet: {path: /ready, port: $one, host: 127.0.0.1, scheme: HTTP,"
        " httpHeaders: [{name: X-Probe, value: 'yes'}]}",
        **{"port: $one": "port: $sick", "host: 127.0.0.1": "host: 127.0.0.9", "HTTP,": "HTTPS,"},
    ),
    _probe(
        "an application is ready that accepts connections",
        "tcpSocket.{host,port}",
        "tcpSocket: {host: 127.0.0.1, port: $one}",
        **{"host: 127.0.0.1": "host: 127.0.0.9", "port: $one": "port: $port"},
    ),
    _probe(
        "an application is ready for which a command ends well",
        "exec.command",
        'exec: {command: [/bin/sh, "-c", "exit 0"]}',
        **{"exit 0": "exit 1"},
    ),
    _case(
        "an application is ready whose gRPC health service says so",
        f"{_WG}.probe.grpc.{{port,service}}",
        f"{_LABELS}, template: {{{_PORTS}}}, probe: {{grpc: {{port: 1, service: cart}}}}",
        check=_grpc_probe,
    ),
    _case(
        "a probe has its pace and its thresholds",
        f"{_WG}.probe.{{initialDelaySeconds,timeoutSeconds,periodSeconds,successThreshold,failureThreshold}}",
        _TIMES,
        check=_timed,
    ),
)

CASES: tuple[Case, ...] = (*_MEMBERS, *_PROBES)
"""All of them."""
