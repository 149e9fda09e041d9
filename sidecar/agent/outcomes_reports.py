"""Envoy's load reports as values: how many attempts at each endpoint succeeded, failed and began since the last one.

Measured on the Envoy that we ship (docs/xds.md, Evidence): an endpoint without attempts is left out; a refused
connection is an error that never began; time-outs, resets and 5xx are errors that began, and cannot be told apart;
TCP connections only begin. Source: Envoy, load reporting service (lrs.proto, load_report.proto).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envoy.service.load_stats.v3 import lrs_pb2

from sidecar.outlier.model import Place

__all__ = ["EndpointLoad", "LoadReported", "Reporting", "decode_report", "encode_reporting"]

IDLE_INTERVAL_S = 3600
"""How often Envoy reports when there is nothing to report on; a new wish reaches it at once."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """What Envoy is asked to report."""

    clusters: tuple[str, ...] = ()
    """Names of clusters, sorted; without any, Envoy says nothing."""
    interval_s: float = 0.5
    """How often."""


@dataclass(frozen=True, slots=True)
class EndpointLoad:
    """Attempts at one endpoint of one cluster since the last report."""

    cluster: str
    place: Place
    ok: int = 0
    """Answers below 500."""
    errors: int = 0
    """Answers from 500 on, time-outs, resets, connections that did not come to be."""
    begun: int = 0
    """Attempts that got a connection (TCP: connections that came to be)."""
    active: int = 0
    """Attempts that wait for their answer now."""


@dataclass(frozen=True, slots=True)
class LoadReported:
    """One report; `stream` tells one Envoy's life, or connection, from the next."""

    stream: int
    loads: tuple[EndpointLoad, ...] = ()
    is_first: bool = False
    """Whether the stream has just opened: there is nothing in it yet."""


def encode_reporting(reporting: Reporting) -> Any:
    """The wire message of a wish."""
    interval_s = reporting.interval_s if reporting.clusters else IDLE_INTERVAL_S
    message = lrs_pb2.LoadStatsResponse(
        clusters=reporting.clusters, report_endpoint_granularity=True
    )
    message.load_reporting_interval.FromNanoseconds(round(interval_s * 1e9))
    return message


def decode_report(stream: int, request: Any, *, is_first: bool = False) -> LoadReported:
    """A report as values; endpoints that are neither an address with a port nor a unix socket are passed over."""
    loads = []
    for cluster in request.cluster_stats:
        for locality in cluster.upstream_locality_stats:
            for row in locality.upstream_endpoint_stats:
                place = _place(row.address)
                if place is not None:
                    loads.append(
                        EndpointLoad(
                            cluster.cluster_name,
                            place,
                            ok=row.total_successful_requests,
                            errors=row.total_error_requests,
                            begun=row.total_issued_requests,
                            active=row.total_requests_in_progress,
                        )
                    )
    return LoadReported(stream, tuple(loads), is_first)


def _place(address: Any) -> Place | None:
    kind = address.WhichOneof("address")
    if kind == "socket_address":
        return Place(address.socket_address.address, address.socket_address.port_value)
    return Place(address.pipe.path, 0) if kind == "pipe" else None
