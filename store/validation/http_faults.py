"""The rules for injected faults, CORS policies and mirrors of an HTTP rule.

Source: istio/istio pkg/config/validation/validation.go (validateHTTPFaultInjection, validateCORSPolicy) and
virtualservice.go (validateHTTPMirrors).
"""

from __future__ import annotations

from store.diagnostics import Path, nearest_hint
from store.objects.http_faults import CorsPolicy, FaultAbort, FaultDelay, HTTPFaultInjection
from store.objects.http_route import HTTPRoute
from store.validation import headers, values
from store.validation.findings import Findings
from store.validation.shared import (
    check_destination,
    check_duration,
    check_percent,
    check_regex,
    quoted,
)

__all__ = ["check_cors", "check_fault", "check_mirrors"]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")


def check_fault(fault: HTTPFaultInjection | None, at: Path, found: Findings) -> None:
    """A fault is a delay, an abort, or both."""
    if fault is None:
        return
    if fault.delay is None and fault.abort is None:
        found.add("MESH0322", at, "says no fault: delay or abort is needed", at_key=True)
    if fault.delay is not None:
        _check_delay(fault.delay, (*at, "delay"), found)
    if fault.abort is not None:
        _check_abort(fault.abort, (*at, "abort"), found)


def _check_delay(delay: FaultDelay, at: Path, found: Findings) -> None:
    if delay.exponential_delay is not None:
        message = "exponentialDelay is not supported, by Istio either"
        found.add("MESH0325", (*at, "exponentialDelay"), message, "use fixedDelay", at_key=True)
    elif delay.fixed_delay is None:
        message = "the delay has no length: fixedDelay is required"
        found.add("MESH0319", (*at, "fixedDelay"), message, at_key=True)
    check_duration(delay.fixed_delay, (*at, "fixedDelay"), found)
    if delay.percentage is not None:
        check_percent(delay.percentage.value, (*at, "percentage", "value"), found)


def _check_abort(abort: FaultAbort, at: Path, found: Findings) -> None:
    if abort.percentage is not None:
        check_percent(abort.percentage.value, (*at, "percentage", "value"), found)
    if abort.http_status is not None and not 200 <= abort.http_status <= 600:
        message = f"the status is from 200 to 599, found {abort.http_status}"
        found.add("MESH0321", (*at, "httpStatus"), message)
    if abort.grpc_status is not None and abort.grpc_status not in values.GRPC_STATUSES:
        message = f"{quoted(abort.grpc_status)} is not the name of a gRPC status"
        hint = nearest_hint(abort.grpc_status, values.GRPC_STATUSES)
        found.add("MESH0321", (*at, "grpcStatus"), message, hint or ", ".join(values.GRPC_STATUSES))
    if abort.http2_error is not None:
        message = "http2Error is not supported, by Istio either"
        found.add(
            "MESH0325", (*at, "http2Error"), message, "use httpStatus or grpcStatus", at_key=True
        )
    if abort.http_status is None and abort.grpc_status is None and abort.http2_error is None:
        message = "the abort has no status, so that it aborts nothing"
        found.add("MESH0324", at, message, "add httpStatus or grpcStatus", at_key=True)


def check_cors(policy: CorsPolicy | None, at: Path, found: Findings) -> None:
    """Origins, methods, headers and age of a CORS policy."""
    if policy is None:
        return
    for index, origin in enumerate(policy.allow_origins):
        here = (*at, "allowOrigins", index)
        if not (origin.exact or origin.prefix or origin.regex is not None):
            message = "an origin must not be empty: exact, prefix or regex is needed"
            found.add("MESH0335", here, message, at_key=True)
        elif origin.regex is not None:
            check_regex(origin.regex, (*here, "regex"), found)
    for index, method in enumerate(policy.allow_methods):
        if method not in _METHODS and method != "*":
            message = f'{quoted(method)} is not a method: "*" or one of {", ".join(_METHODS)}'
            found.add(
                "MESH0335", (*at, "allowMethods", index), message, nearest_hint(method, _METHODS)
            )
    for field, listed in (
        ("allowHeaders", policy.allow_headers),
        ("exposeHeaders", policy.expose_headers),
    ):
        for index, name in enumerate(listed):
            if name != "*" and (fault := headers.plain_name_fault(name)):
                found.add("MESH0310", (*at, field, index), f"{quoted(name)} {fault}")
    check_duration(policy.max_age, (*at, "maxAge"), found)
    if policy.max_age is not None and policy.max_age != int(policy.max_age):
        found.add("MESH0307", (*at, "maxAge"), "must be whole seconds")
    if policy.allow_origin:
        message = "allowOrigin is deprecated"
        found.add(
            "MESH0323", (*at, "allowOrigin"), message, "use allowOrigins with exact", at_key=True
        )


def check_mirrors(route: HTTPRoute, at: Path, found: Findings) -> None:
    """The destinations that get copies, and which share."""
    if route.mirror is not None and route.mirrors:
        message = "mirror and mirrors are both given"
        found.add("MESH0318", (*at, "mirrors"), message, "put the mirror into mirrors", at_key=True)
    if route.mirror is not None:
        check_destination(route.mirror, (*at, "mirror"), found)
    for index, mirror in enumerate(route.mirrors):
        here = (*at, "mirrors", index)
        check_destination(mirror.destination, (*here, "destination"), found)
        if mirror.percentage is not None:
            check_percent(mirror.percentage.value, (*here, "percentage", "value"), found)
    if route.mirror_percentage is not None:
        check_percent(route.mirror_percentage.value, (*at, "mirrorPercentage", "value"), found)
    if route.mirror_percent is not None:
        here = (*at, "mirrorPercent")
        if route.mirror_percent > 100:
            message = f"must be at most 100, found {route.mirror_percent}"
            found.add("MESH0308", here, message)
        hint = f"use mirrorPercentage: {{value: {route.mirror_percent}}}"
        found.add("MESH0323", here, "mirrorPercent is deprecated", hint, at_key=True)
