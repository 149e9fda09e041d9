"""Istio's standard metrics: the one place that names those which Envoy counts for us.

Source: Istio, "Istio Standard Metrics".
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METRICS", "SCOPE", "TCP_METRICS", "Measure", "Metric"]

SCOPE = "istio"
"""Prefix of the statistics in Envoy; no other statistic begins so."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A histogram's value."""

    operator: str
    """Envoy's command operator for it."""
    unit: str
    """Envoy's word for its unit."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """Without `istio_`."""
    text: str
    """What it counts, for people."""
    measure: Measure | None = None
    """What a histogram takes; None for counters."""
    value: str = ""
    """Command operator of what a counter is raised by; empty for one."""
    at_start: bool = False
    """TCP: counted when the connection stands, not when it ends."""

    @property
    def is_size(self) -> bool:
        """Whether it is a histogram of bytes."""
        return self.measure is not None and self.measure.unit == "Bytes"

    @property
    def full_name(self) -> str:
        """The name that Prometheus sees."""
        return f"{SCOPE}_{self.name}"


METRICS = (
    Metric("requests_total", "Requests, HTTP and gRPC."),
    Metric(
        "request_duration_milliseconds",
        "From the first byte of a request to the last byte of its answer.",
        Measure("%DURATION%", "Milliseconds"),
    ),
    Metric("request_bytes", "Bytes of request bodies.", Measure("%BYTES_RECEIVED%", "Bytes")),
    Metric("response_bytes", "Bytes of answers' bodies.", Measure("%BYTES_SENT%", "Bytes")),
)
"""Of requests."""

TCP_METRICS = (
    Metric(
        "tcp_connections_opened_total", "TCP connections that reached an endpoint.", at_start=True
    ),
    Metric("tcp_connections_closed_total", "TCP connections that ended."),
    Metric(
        "tcp_received_bytes_total",
        "Bytes from clients over TCP connections that ended.",
        value="%BYTES_RECEIVED%",
    ),
    Metric(
        "tcp_sent_bytes_total",
        "Bytes to clients over TCP connections that ended.",
        value="%BYTES_SENT%",
    ),
)
"""Of connections whose bytes are passed on without a look."""
