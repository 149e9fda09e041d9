"""Values: ports, protocols, durations, shares, expressions, status codes.

Each `..._fault` answers what is wrong with a value in a few words, or the empty string.

Source: istio/istio pkg/config/validation (ValidatePort, ValidateDuration, validatePercentage,
validateStringRegexp, ValidateHTTPStatus) and pkg/config/protocol.
"""

from __future__ import annotations

from functools import lru_cache

import re2

__all__ = [
    "GRPC_STATUSES",
    "PROTOCOLS",
    "duration_fault",
    "is_http",
    "is_tls",
    "percent_fault",
    "port_fault",
    "protocol_fault",
    "regex_fault",
]

HTTP_PROTOCOLS = frozenset(("http", "http2", "http_proxy", "grpc", "grpc-web"))
"""Protocols whose requests are understood."""
TLS_PROTOCOLS = frozenset(("https", "tls"))
"""Protocols that are TLS on the wire."""
OTHER_PROTOCOLS = frozenset(("tcp", "udp", "mongo", "redis", "mysql"))
"""Protocols of which only the connection is understood."""
PROTOCOLS = (
    "HTTP",
    "HTTP2",
    "HTTP_PROXY",
    "GRPC",
    "GRPC-WEB",
    "HTTPS",
    "TLS",
    "TCP",
    "UDP",
    "MONGO",
    "REDIS",
    "MYSQL",
)
"""Every protocol, as people write it."""

GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status names (grpc.io, status codes)."""

_REGEX_LENGTH_MAX = 1024
"""Longest expression accepted; Istio's bound."""


def port_fault(number: int) -> str:
    """What keeps a number from being a port."""
    return "" if 1 <= number <= 65535 else f"must be a port from 1 to 65535, found {number}"


def protocol_fault(protocol: str) -> str:
    """What keeps a word from being a protocol; empty words are for the caller to judge."""
    known = HTTP_PROTOCOLS | TLS_PROTOCOLS | OTHER_PROTOCOLS
    if protocol.lower() in known:
        return ""
    return f'must be one of {", ".join(PROTOCOLS)}, found "{protocol[:40]}"'


def is_http(protocol: str | None) -> bool:
    """Whether requests of this protocol are understood."""
    return (protocol or "").lower() in HTTP_PROTOCOLS


def is_tls(protocol: str | None) -> bool:
    """Whether this protocol is TLS on the wire."""
    return (protocol or "").lower() in TLS_PROTOCOLS


def duration_fault(seconds: float | None, *, zero: bool = False) -> str:
    """What keeps a duration from being whole milliseconds, at least one (or 0 if `zero` is set)."""
    if seconds is None or (zero and seconds == 0):
        return ""
    if seconds < 0.001:
        return "must be at least 1ms"
    milliseconds = seconds * 1000
    if abs(milliseconds - round(milliseconds)) > max(1e-6, milliseconds * 1e-12):
        return "must be whole milliseconds"
    return ""


def percent_fault(value: float | None) -> str:
    """What keeps a number from being a share: 0, or from 0.0001 to 100."""
    if value is None or value == 0 or 0.0001 <= value <= 100:
        return ""
    return f"must be a percentage: 0, or from 0.0001 to 100; found {value:g}"


@lru_cache(maxsize=4096)
def regex_fault(expression: str) -> str:
    """What keeps a text from being an RE2 expression (Envoy compiles it with the same library)."""
    if not expression:
        return "is empty; an expression must not be"
    if len(expression) > _REGEX_LENGTH_MAX:
        return (
            f"has {len(expression)} characters, and an expression has at most {_REGEX_LENGTH_MAX}"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(expression, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else "not valid"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"is not an RE2 expression ({text})"
    return ""
