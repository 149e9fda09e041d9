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
    bounds: frozenset[str]
    """Upper bounds of the buckets that are told. Envoy keeps more; they are cumulative, so any may be left out."""


DURATION_BOUNDS = frozenset(
    "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 +Inf".split()  # noqa: SIM905
)
"""Milliseconds, up to five minutes."""
SIZE_BOUNDS = frozenset("100 1000 10000 60000 300000 1800000 +Inf".split())  # noqa: SIM905
"""Bytes; Envoy keeps no buckets beyond 3.6 million."""


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

    def shows(self, bound: str) -> bool:
        """Whether a histogram tells of a bucket."""
        return self.measure is not None and bound in self.measure.bounds

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
        Measure("%DURATION%", "Milliseconds", DURATION_BOUNDS),
    ),
    Metric(
        "request_bytes",
        "Bytes of request bodies.",
        Measure("%BYTES_RECEIVED%", "Bytes", SIZE_BOUNDS),
    ),
    Metric(
        "response_bytes", "Bytes of answers' bodies.", Measure("%BYTES_SENT%", "Bytes", SIZE_BOUNDS)
    ),
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
