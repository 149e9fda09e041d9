"""Conditions of HTTP rules: what must hold of a request, and what is settled before any request.

A match block of a VirtualService has two halves. Port, gateways and source labels or namespace are known
when the table is built: `why_not_here` decides them. The rest becomes a `RouteMatch` that each request is
held against. Follows Istio's pilot/pkg/networking/core/route/route.go (sourceMatchHTTP,
TranslateRouteMatch, canBeConvertedToPresentMatch).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.mesh.facts import MESH_GATEWAY, gateway_name
from sidecar.routing.table import MatcherKind, RouteMatch, ValueMatch
from store.objects.virtual_service import HTTPMatchRequest, StringMatch

__all__ = ["Place", "route_match", "value_match", "why_not_from", "why_not_here"]

_IGNORED_HEADER_NAMES = frozenset({"uri", "scheme", "method", "authority"})
"""Keys of `headers` that Istio documents as ignored: they have fields of their own."""

_CLAIMS_PREFIX = "@request.auth.claims"


@dataclass(frozen=True, slots=True)
class Place:
    """Where rules are read for: a gateway (or the mesh), a port, and the workload behind it."""

    gateway: str = MESH_GATEWAY
    """`mesh`, or `<namespace>/<name>` of the one gateway."""
    port: int = 80
    """Port of the listener (gateway) or of the service (mesh)."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the workload that sends (mesh) or that is the gateway."""
    namespace: str = ""
    """Namespace of that workload."""
    is_tls: bool = False
    """Whether requests come over TLS that ends at the listener."""


def why_not_here(block: HTTPMatchRequest, place: Place, namespace: str) -> str | None:
    """Why a match block can never hold at this place, as a sentence; None when it can.

    Where the block names gateways, they alone count and source labels and namespace are not looked at.

    Args:
        block: One entry of `http[].match`.
        place: Where the table is built for.
        namespace: Namespace of the VirtualService.
    """
    if block.port and block.port != place.port:
        return f"its port is {block.port} and this is port {place.port}"
    if block.gateways:
        wanted = [gateway_name(name, namespace) for name in block.gateways]
        if place.gateway in wanted:
            return _why_not_readable(block)
        return f"it is for {_listed('gateway', wanted)} and this is {_gateway_words(place)}"
    return why_not_from(block.source_labels, block.source_namespace, place) or _why_not_readable(
        block
    )


def why_not_from(labels: Mapping[str, str], namespace: str | None, place: Place) -> str | None:
    """Why a sender's labels and namespace are not those asked for; None when they are."""
    for key, value in sorted(labels.items()):
        found = place.labels.get(key)
        if found != value:
            has = f"has {key}={found}" if found is not None else f"has no label {key}"
            return f"its sourceLabels want {key}={value} and this workload {has}"
    if namespace and namespace != place.namespace:
        return f"its sourceNamespace is {namespace} and this workload is in {place.namespace}"
    return None


def _why_not_readable(block: HTTPMatchRequest) -> str | None:
    names = [*block.headers, *block.without_headers]
    claim = next((name for name in names if name.startswith(_CLAIMS_PREFIX)), None)
    return f"it asks for the claim {claim}, and claims are not read" if claim else None


def _gateway_words(place: Place) -> str:
    return "the mesh" if place.gateway == MESH_GATEWAY else f"gateway {place.gateway}"


def _listed(word: str, names: list[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def route_match(block: HTTPMatchRequest | None) -> RouteMatch:
    """The conditions that a match block puts on a request; a rule without blocks takes every request."""
    if block is None:
        return RouteMatch()
    headers = [
        *_named(block.headers.items()),
        *((name, _inverted(value)) for name, value in _named(block.without_headers.items())),
        *(
            (name, value_match(wanted))
            for name, wanted in (
                (":method", block.method),
                (":authority", block.authority),
                (":scheme", block.scheme),
            )
            if wanted is not None
        ),
    ]
    query = [(name, value_match(wanted)) for name, wanted in block.query_params.items()]
    return RouteMatch(_path_match(block), _sorted(headers), _sorted(query))


def _named(items: Iterable[tuple[str, StringMatch]]) -> list[tuple[str, ValueMatch]]:
    return [
        (name.lower(), value_match(wanted))
        for name, wanted in items
        if name.lower() not in _IGNORED_HEADER_NAMES
    ]


def _inverted(wanted: ValueMatch) -> ValueMatch:
    return ValueMatch(wanted.kind, wanted.value, invert=True)


def _sorted(conditions: list[tuple[str, ValueMatch]]) -> tuple[tuple[str, ValueMatch], ...]:
    return tuple(sorted(conditions, key=lambda c: (c[0], c[1].invert, c[1].kind, c[1].value)))


def _path_match(block: HTTPMatchRequest) -> ValueMatch:
    uri, any_case = block.uri, bool(block.ignore_uri_case)
    if uri is None:
        return RouteMatch().path
    if uri.exact is not None:
        return ValueMatch(MatcherKind.EXACT, uri.exact, ignore_case=any_case)
    if uri.prefix is not None:
        return ValueMatch(MatcherKind.PREFIX, uri.prefix or "/", ignore_case=any_case)
    if uri.regex is not None:
        return _expression(uri.regex)
    return RouteMatch().path


def value_match(wanted: StringMatch | None) -> ValueMatch:
    """A condition on one value; an empty one, regex `*` and prefix "" only ask that it is present."""
    if wanted is None:
        return ValueMatch(MatcherKind.PRESENT)
    if wanted.exact is not None:
        return ValueMatch(MatcherKind.EXACT, wanted.exact)
    if wanted.prefix:
        return ValueMatch(MatcherKind.PREFIX, wanted.prefix)
    if wanted.regex is not None and wanted.regex != "*":
        return _expression(wanted.regex)
    return ValueMatch(MatcherKind.PRESENT)


def _expression(regex: str) -> ValueMatch:
    """A condition by expression; the empty one, which Envoy refuses to load, fits the empty value alone."""
    return ValueMatch(MatcherKind.REGEX, regex) if regex else ValueMatch(MatcherKind.EXACT, "")
