"""What a MeshConfig says of telemetry: access logs and spans. Names follow Istio's MeshConfig where it has the same."""

from __future__ import annotations

import re

from store.objects.base import Model
from store.objects.scalars import Percentage, Word

__all__ = ["AccessLogEncoding", "TracingSettings", "collector_place"]

_PLACE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)


class AccessLogEncoding(Word):
    """How a line of the access log is written."""

    TEXT = "TEXT"
    JSON = "JSON"


class TracingSettings(Model):
    """Spans of requests, for an OpenTelemetry collector."""

    collector: str = ""
    """`host:port` at which a collector takes OTLP over gRPC without TLS; empty (default): no spans are made. Trace
    headers of clients are passed on all the same."""
    sampling: Percentage = 1.0
    """Percent of the requests without a trace of their own that get one; default 1."""


def collector_place(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port` or `[IPv6 address]:port`; None where it is not of that form."""
    found = _PLACE.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        return None
    return found["v6"] or found["host"], int(found["port"])
