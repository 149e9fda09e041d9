"""Faults injected into requests, and the CORS policy of a route.

Source: istio/api networking/v1alpha3/virtual_service.proto, messages HTTPFaultInjection and CorsPolicy.
"""

from __future__ import annotations

from typing import ClassVar

from store.objects.base import Choice, Model
from store.objects.durations import PositiveDuration
from store.objects.http_actions import Percent
from store.objects.scalars import Int32, Items, Maybe, Nullable, Word
from store.objects.strings import StringMatch

__all__ = [
    "CorsPolicy",
    "FaultAbort",
    "FaultDelay",
    "HTTPFaultInjection",
    "UnmatchedPreflights",
]


class UnmatchedPreflights(Word):
    """What happens to a preflight request whose origin no rule matches."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


class CorsPolicy(Model):
    """Cross-origin resource sharing: which origins may do what."""

    allow_origin: Items[str] = ()
    """Deprecated: exact origins; use `allowOrigins`."""
    allow_origins: Items[StringMatch] = ()
    """Origins that are allowed; the one that matched is echoed in `Access-Control-Allow-Origin`."""
    allow_methods: Items[str] = ()
    """Methods for `Access-Control-Allow-Methods`."""
    allow_headers: Items[str] = ()
    """Request headers for `Access-Control-Allow-Headers`."""
    expose_headers: Items[str] = ()
    """Response headers for `Access-Control-Expose-Headers`."""
    max_age: Maybe[PositiveDuration] = None
    """How long a preflight answer may be kept, in whole seconds (`Access-Control-Max-Age`)."""
    allow_credentials: Nullable[bool] = None
    """Whether requests may carry credentials (`Access-Control-Allow-Credentials`)."""
    unmatched_preflights: Maybe[UnmatchedPreflights] = None
    """FORWARD (default) sends unmatched preflights to the service; IGNORE answers them here."""


class FaultDelay(Choice):
    """Delay before a request is sent on."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("fixed_delay", "exponential_delay"),)

    percent: Maybe[Int32] = None
    """Deprecated: whole percent of requests; used only where `percentage` is left out."""
    fixed_delay: Maybe[PositiveDuration] = None
    """Length of the delay, at least 1 ms."""
    exponential_delay: Maybe[PositiveDuration] = None
    """Not supported, by Istio either."""
    percentage: Maybe[Percent] = None
    """Share of requests that is delayed; default 0."""


class FaultAbort(Choice):
    """Answer with an error instead of sending the request on."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("http_status", "grpc_status", "http2_error"),)

    http_status: Maybe[Int32] = None
    """HTTP status of the answer, 200 to 599."""
    grpc_status: Maybe[str] = None
    """gRPC status of the answer by name, such as `UNAVAILABLE`."""
    http2_error: Maybe[str] = None
    """Not supported, by Istio either."""
    percentage: Maybe[Percent] = None
    """Share of requests that is aborted; default 0."""


class HTTPFaultInjection(Model):
    """Faults, to test how clients bear them; both may apply to one request."""

    delay: Maybe[FaultDelay] = None
    """Delay some requests."""
    abort: Maybe[FaultAbort] = None
    """Abort some requests."""
