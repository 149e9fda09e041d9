"""The rules for WorkloadGroups: labels, and the readiness probe.

Source: istio/istio pkg/config/validation/validation.go, ValidateWorkloadGroup, validateReadinessProbe; CRD
rules of WorkloadGroup. The CRD allows gRPC probes, and so does this.
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.workload_group import (
    HTTPHealthCheckConfig,
    ReadinessProbe,
    WorkloadGroup,
)
from store.validation.findings import Findings
from store.validation.shared import check_labels, check_port, quoted

__all__ = ["check_workload_group"]


def check_workload_group(group: WorkloadGroup, found: Findings) -> None:
    """Check one WorkloadGroup of the right shape."""
    spec = group.spec
    if spec.metadata is not None:
        check_labels(spec.metadata.labels, ("spec", "metadata", "labels"), found)
    for name, number in spec.template.ports.items():
        here: Path = ("spec", "template", "ports", name)
        if not name:
            found.add("MESH0303", here, "the name of a port must not be empty", at_key=True)
        check_port(number, here, found)
    if spec.probe is not None:
        _check_probe(spec.probe, ("spec", "probe"), found)


def _check_probe(probe: ReadinessProbe, at: Path, found: Findings) -> None:
    methods = (probe.http_get, probe.tcp_socket, probe.exec, probe.grpc)
    if all(method is None for method in methods):
        message = "the probe has no method: one of httpGet, tcpSocket, exec and grpc is required"
        found.add("MESH0381", at, message, at_key=True)
    if probe.http_get is not None:
        _check_http(probe.http_get, (*at, "httpGet"), found)
    if probe.tcp_socket is not None:
        check_port(probe.tcp_socket.port, (*at, "tcpSocket", "port"), found)
    if probe.grpc is not None:
        check_port(probe.grpc.port or 0, (*at, "grpc", "port"), found)
    if probe.exec is not None and probe.exec.command:
        message = "hosts run commands for others only where their settings allow it (registration.exec_probes)"
        found.add("MESH0382", (*at, "exec"), message, at_key=True)
    elif probe.exec is not None:
        message = "the command is empty"
        found.add(
            "MESH0381",
            (*at, "exec", "command"),
            message,
            "list the program and its arguments",
            at_key=True,
        )


def _check_http(check: HTTPHealthCheckConfig, at: Path, found: Findings) -> None:
    check_port(check.port, (*at, "port"), found)
    if check.scheme and check.scheme not in ("HTTP", "HTTPS"):
        message = f"must be HTTP or HTTPS, found {quoted(check.scheme)}"
        found.add("MESH0306", (*at, "scheme"), message)
    for index, header in enumerate(check.http_headers):
        if not header.name:
            here = (*at, "httpHeaders", index, "name")
            found.add("MESH0310", here, "the name of the header is empty", at_key=True)
