"""Which telemetry is in force on one host: what MeshConfig says, and what the host's own settings say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from store.objects.mesh_config import MeshConfigSpec
from store.objects.telemetry import AccessLogEncoding, collector_place

__all__ = [
    "MESH_DECIDES",
    "NO_TELEMETRY",
    "AccessLogging",
    "LocalTelemetry",
    "Telemetry",
    "Tracing",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccessLogging:
    """One line for each request or connection."""

    file: str
    """Path, `/dev/stdout` for Envoy's own standard output."""
    encoding: AccessLogEncoding = AccessLogEncoding.TEXT
    """TEXT is Envoy's usual line, JSON an object with Istio's field names."""
    errors_only: bool = False
    """Only answers from 400, gRPC statuses but OK, and whatever has a response flag."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Spans for an OpenTelemetry collector."""

    host: str
    """Address or name of the collector."""
    port: int
    """Its port for OTLP over gRPC."""
    sampling_percent: float = 1.0
    """Share of the requests that begin here and get a trace."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What Envoy writes down. All of it is part of listeners: a change drains their connections."""

    metrics: bool = False
    """Whether requests are counted with Istio's labels."""
    sizes: bool = True
    """Whether the bytes of requests and answers are among what is counted."""
    access_log: AccessLogging | None = None
    """None for no access log."""
    tracing: Tracing | None = None
    """None for no spans; what clients send of traces is passed on all the same."""


NO_TELEMETRY = Telemetry()
"""Nothing is written down."""


@dataclass(frozen=True, slots=True)
class LocalTelemetry:
    """What this host's settings say; None leaves it to MeshConfig."""

    metrics: bool | None = None
    sizes: bool | None = None
    access_log: str | None = None
    """File; empty for none."""
    access_log_encoding: AccessLogEncoding | None = None
    access_log_errors_only: bool | None = None
    collector: str | None = None
    """`host:port`; empty for none."""
    sampling_percent: float | None = None

    def over(self, mesh: MeshConfigSpec) -> Telemetry:
        """What is in force: this host's word where it has one, else the mesh's."""
        file = _first(self.access_log, mesh.access_log_file)
        # Both were checked when they were read; an empty one is no place either.
        place = collector_place(_first(self.collector, mesh.tracing.collector))
        return Telemetry(
            metrics=_first(self.metrics, mesh.request_metrics),
            sizes=_first(self.sizes, mesh.request_size_metrics),
            access_log=AccessLogging(
                file,
                _first(self.access_log_encoding, mesh.access_log_encoding),
                _first(self.access_log_errors_only, mesh.access_log_errors_only),
            )
            if file
            else None,
            tracing=Tracing(*place, _first(self.sampling_percent, mesh.tracing.sampling))
            if place
            else None,
        )


MESH_DECIDES = LocalTelemetry()
"""This host says nothing of its own."""


def _first(own: T | None, mesh: T) -> T:
    return mesh if own is None else own
