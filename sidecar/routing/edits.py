"""Header edits, faults and cross-origin answers of HTTP rules.

The small fields of an HTTPRoute, each turned into the table's value for it. Follows Istio's route.go
(TranslateHeadersOperations, translateFault, TranslateCORSPolicy): edits are sorted by header; `:authority`
and `host` among them rewrite the authority, other names that start with a colon are dropped; a fault
without a percentage never happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecar.routing.conditions import value_match
from sidecar.routing.table import CorsPolicy, Fault, HeaderEdits, MatcherKind, ValueMatch
from store.objects.virtual_service import CorsPolicy as CorsPolicySpec
from store.objects.virtual_service import (
    Headers,
    HTTPFaultInjection,
    Percent,
    UnmatchedPreflights,
)
from store.validation.values import GRPC_STATUSES

__all__ = ["authority_of", "cors_policy", "fault", "header_edits", "parts_per_million"]

_AUTHORITY_NAMES = (":authority", "host")

_GRPC_STATUS = {name: number for number, name in enumerate(GRPC_STATUSES)}
"""gRPC status names in the order of their numbers (google.rpc.Code)."""


def parts_per_million(percent: float) -> int:
    """A percentage (0 to 100) in parts per million, as Envoy's FractionalPercent has it."""
    return round(percent * 10_000)


def header_edits(headers: Headers | None) -> HeaderEdits:
    """The edits of a rule or destination, each list sorted by header.

    Empty values are left out, as Envoy does: they neither set, add nor clear anything.
    """
    if headers is None:
        return HeaderEdits()
    request, response = headers.request, headers.response
    return HeaderEdits(
        request_set=_edits(request.set) if request else (),
        request_add=_edits(request.add) if request else (),
        request_remove=_names(request.remove) if request else (),
        response_set=_edits(response.set) if response else (),
        response_add=_edits(response.add) if response else (),
        response_remove=_names(response.remove) if response else (),
    )


def _edits(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, value in sorted((key.lower(), value) for key, value in values.items())
        if value and not name.startswith(":") and name != "host"
    )


def _names(names: Iterable[str]) -> tuple[str, ...]:
    lowered = (name.lower() for name in names)
    return tuple(sorted(n for n in lowered if not n.startswith(":") and n != "host"))


def authority_of(headers: Headers | None) -> str:
    """The authority that header edits ask for (`set` beats `add`); empty when they ask for none."""
    if headers is None or headers.request is None:
        return ""
    for values in (headers.request.set, headers.request.add):
        lowered = {name.lower(): value for name, value in values.items()}
        for name in _AUTHORITY_NAMES:
            if lowered.get(name):
                return lowered[name]
    return ""


def fault(injection: HTTPFaultInjection | None) -> Fault | None:
    """The fault of a rule; None where none can ever happen."""
    if injection is None:
        return None
    delay, abort = injection.delay, injection.abort
    delay_s = (delay.fixed_delay or 0.0) if delay else 0.0
    delay_ppm = _share(delay.percentage, delay.percent) if delay and delay_s > 0 else 0
    abort_ppm = _share(abort.percentage, None) if abort else 0
    status = (abort.http_status or 0) if abort else 0
    grpc = _GRPC_STATUS.get((abort.grpc_status or "").upper()) if abort else None
    if not status and grpc is None:
        abort_ppm = 0
    if not delay_ppm and not abort_ppm:
        return None
    return Fault(
        delay_s=delay_s if delay_ppm else 0.0,
        delay_ppm=delay_ppm,
        abort_status=status if abort_ppm else 0,
        abort_grpc_status=grpc if abort_ppm else None,
        abort_ppm=abort_ppm,
    )


def _share(percentage: Percent | None, percent: int | None) -> int:
    if percentage is not None:
        return parts_per_million(percentage.value or 0.0)
    return parts_per_million(percent or 0)


def cors_policy(policy: CorsPolicySpec | None) -> CorsPolicy | None:
    """The cross-origin policy of a rule; `allowOrigins` beats the deprecated `allowOrigin`."""
    if policy is None:
        return None
    if policy.allow_origins:
        origins = tuple(value_match(origin) for origin in policy.allow_origins)
    else:
        origins = tuple(_origin(text) for text in policy.allow_origin)
    return CorsPolicy(
        allow_origins=origins,
        allow_methods=tuple(policy.allow_methods),
        allow_headers=tuple(policy.allow_headers),
        expose_headers=tuple(policy.expose_headers),
        max_age_s=int(policy.max_age) if policy.max_age is not None else None,
        allow_credentials=policy.allow_credentials,
        forward_unmatched_preflights=policy.unmatched_preflights is not UnmatchedPreflights.IGNORE,
    )


def _origin(text: str) -> ValueMatch:
    if text == "*":
        return ValueMatch(MatcherKind.REGEX, ".*")
    return ValueMatch(MatcherKind.EXACT, text)
