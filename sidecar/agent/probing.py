"""One readiness probe of a local application: HTTP, TCP, a command, or gRPC's health service.

Each asks once and says why it failed, empty where it did not. As in Istio's agent (pkg/istio-agent/health,
health_probers.go), HTTP from 200 to 399 is success, and certificates are not checked.
"""

from __future__ import annotations

import http.client
import ssl
import subprocess
from functools import partial

import grpc
import trio

from store.objects.workload_group import (
    ExecHealthCheckConfig,
    GrpcHealthCheckConfig,
    HTTPHealthCheckConfig,
    ReadinessProbe,
    TCPHealthCheckConfig,
)

__all__ = ["ask"]

LOOPBACK = "127.0.0.1"
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""HealthCheckResponse with status SERVING, on the wire."""
_STATUSES = {
    b"": "UNKNOWN",
    b"\x08\x00": "UNKNOWN",
    b"\x08\x02": "NOT_SERVING",
    b"\x08\x03": "SERVICE_UNKNOWN",
}


async def ask(probe: ReadinessProbe, timeout_s: float) -> str:
    """Probe once, for at most `timeout_s`; why it failed, empty where it did not. Cancelled, it ends what it began."""
    with trio.move_on_after(timeout_s):
        return await _asked(probe, timeout_s)
    return f"no answer within {timeout_s:g} s"


async def _asked(probe: ReadinessProbe, timeout_s: float) -> str:
    if probe.http_get is not None:
        in_thread = partial(_http, probe.http_get, timeout_s)
        return await trio.to_thread.run_sync(in_thread, abandon_on_cancel=True)
    if probe.tcp_socket is not None:
        return await _tcp(probe.tcp_socket)
    if probe.exec is not None:
        return await _exec(probe.exec)
    if probe.grpc is not None:
        in_thread = partial(_grpc, probe.grpc, timeout_s)
        return await trio.to_thread.run_sync(in_thread, abandon_on_cancel=True)
    return "the probe has no method"


def _http(check: HTTPHealthCheckConfig, timeout_s: float) -> str:
    host, path = check.host or LOOPBACK, check.path or "/"
    connection: http.client.HTTPConnection
    if (check.scheme or "HTTP") == "HTTPS":
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, check.port, timeout=timeout_s, context=unchecked
        )
    else:
        connection = http.client.HTTPConnection(host, check.port, timeout=timeout_s)
    headers = {header.name: header.value or "" for header in check.http_headers if header.name}
    where = f"GET {path} on {host}:{check.port}"
    try:
        connection.request("GET", path if path.startswith("/") else f"/{path}", headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as problem:
        return f"{where}: {_words(problem)}"
    finally:
        connection.close()
    return "" if 200 <= status < 400 else f"{where} answered {status}"


async def _tcp(check: TCPHealthCheckConfig) -> str:
    host = check.host or LOOPBACK
    try:
        stream = await trio.open_tcp_stream(host, check.port)
    except OSError as problem:
        return f"connecting to {host}:{check.port}: {_words(problem)}"
    await stream.aclose()
    return ""


async def _exec(check: ExecHealthCheckConfig) -> str:
    command = list(check.command)
    try:
        done = await trio.run_process(
            command,
            check=False,
            stdin=b"",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as problem:
        return f"{command[0]} cannot be started: {_words(problem)}"
    return "" if done.returncode == 0 else f"{command[0]} ended with status {done.returncode}"


def _grpc(check: GrpcHealthCheckConfig, timeout_s: float) -> str:
    place = f"{LOOPBACK}:{check.port or 0}"
    service = (check.service or "").encode()
    request = b"\x0a" + _length(len(service)) + service if service else b""
    try:
        with grpc.insecure_channel(place) as channel:
            health = channel.unary_unary(_HEALTH_CHECK)
            answer: bytes = health(request, timeout=timeout_s)
    except grpc.RpcError as problem:
        return f"gRPC health of {place}: {problem.code().name}"
    if answer.startswith(_SERVING):
        return ""
    return f"gRPC health of {place} says {_STATUSES.get(answer[:2], 'something unknown')}"


def _length(number: int) -> bytes:
    """A length as protobuf writes it."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _length(rest) if rest else bytes([low])


def _words(problem: Exception) -> str:
    said = problem.strerror if isinstance(problem, OSError) else None
    return str(said or problem or type(problem).__name__)
