"""The `[telemetry]` table of the settings: where this host does otherwise than MeshConfig says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecar.telemetry.model import LocalTelemetry
from store.objects.telemetry import AccessLogEncoding, collector_place

__all__ = ["TelemetryOptions"]

MESH = "mesh"
_Switch = Literal["mesh", "on", "off"]


class TelemetryOptions(BaseModel):
    """What Envoy writes down of traffic. `mesh` leaves it to MeshConfig. A change drains the listeners' connections."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metrics: _Switch = "mesh"
    """Whether requests are counted with Istio's metrics and labels; takes a twentieth of Envoy's processor time."""
    metrics_sizes: _Switch = "mesh"
    """Whether the bytes of requests and answers are among them; about a third of what counting costs."""
    access_log: str = MESH
    """File for one line a request, `/dev/stdout` for Envoy's standard output; empty for none."""
    access_log_encoding: Literal["mesh", "TEXT", "JSON"] = "mesh"
    """TEXT is Envoy's usual line, JSON an object a line with Istio's field names."""
    access_log_errors_only: _Switch = "mesh"
    """Only lines for answers from 400, gRPC statuses other than OK, and what has a response flag."""
    tracing_collector: str = MESH
    """`host:port` of an OpenTelemetry collector (OTLP over gRPC, no TLS); empty for no spans."""
    tracing_sampling: Annotated[float, Field(ge=0, le=100)] | None = None
    """Percent of the requests without a trace of their own that get one; unset: as MeshConfig says."""

    @field_validator("access_log")
    @classmethod
    def _is_a_file(cls, path: str) -> str:
        if path not in ("", MESH) and not path.startswith("/"):
            raise ValueError(f'"{path}" is not an absolute path; "mesh" is what MeshConfig says')
        return path

    @field_validator("tracing_collector")
    @classmethod
    def _is_a_place(cls, collector: str) -> str:
        if collector not in ("", MESH) and collector_place(collector) is None:
            raise ValueError(
                f'"{collector}" is not host:port, for instance otel.example.com:4317;'
                ' "mesh" is what MeshConfig says'
            )
        return collector

    @property
    def local(self) -> LocalTelemetry:
        """The same as the cores take it."""
        encoding = self.access_log_encoding
        return LocalTelemetry(
            metrics=_switched(self.metrics),
            sizes=_switched(self.metrics_sizes),
            access_log=None if self.access_log == MESH else self.access_log,
            access_log_encoding=None if encoding == MESH else AccessLogEncoding(encoding),
            access_log_errors_only=_switched(self.access_log_errors_only),
            collector=None if self.tracing_collector == MESH else self.tracing_collector,
            sampling_percent=self.tracing_sampling,
        )


def _switched(word: _Switch) -> bool | None:
    return None if word == MESH else word == "on"
