"""Answer a request from the routing table, with the reason for everything passed over.

Follows Envoy's router: source/common/router/config_impl.cc (findVirtualHost, RouteEntryImplBase),
source/common/http/header_utility.cc, and the domain order of VirtualHost.domains in
api/envoy/config/route/v3/route_components.proto. A differential test holds this against a real Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sidecar.routing.expressions import fits
from sidecar.routing.table import (
    CorsPolicy,
    MatcherKind,
    Route,
    RouteMatch,
    ValueMatch,
    VirtualHost,
)

__all__ = [
    "Considered",
    "Decision",
    "Request",
    "allows_origin",
    "choose_virtual_host",
    "match",
    "matches",
    "why_not",
]

_PSEUDO_WORDS = {":method": "method", ":authority": "authority", ":scheme": "scheme"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its first Envoy sees it."""

    method: str = "GET"
    """Method, as sent; methods are case-sensitive."""
    scheme: str = "http"
    """`http` or `https`, as the listener knows it."""
    authority: str = ""
    """Host header or `:authority`, as sent."""
    path: str = "/"
    """Path with the query; not looked at for CONNECT."""
    headers: tuple[tuple[str, str], ...] = ()
    """(name in any case, value), in order; a name may stand several times."""

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header (lower-case name), in order; empty when it is absent."""
        match name:
            case ":method":
                return (self.method,)
            case ":authority":
                return (self.authority,)
            case ":scheme":
                return (self.scheme,)
            case ":path":
                return () if self.method == "CONNECT" else (self.path,)
            case _:
                return tuple(value for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True, slots=True)
class Considered:
    """A route that was looked at and passed over."""

    route: Route
    reason: str
    """A sentence without full stop: the first condition that was not met."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the table says about one request."""

    virtual_host: VirtualHost
    route: Route | None
    """The first route whose conditions are all met; None means 404."""
    considered: tuple[Considered, ...] = ()
    """Every earlier route that could have taken such a request, in order."""
    redirected_to_https: bool = False
    """Whether the virtual host turns every plain request away (301) before looking at routes."""


def choose_virtual_host(
    virtual_hosts: Iterable[VirtualHost] | Mapping[str, VirtualHost], authority: str
) -> VirtualHost | None:
    """The virtual host for an authority: exact, longest `*.suffix`, longest `prefix.*`, then `*`.

    Args:
        virtual_hosts: All of one route configuration, or their domains as a mapping.
        authority: As sent; compared in lower case, with its port if it has one.
    """
    by_domain = (
        virtual_hosts
        if isinstance(virtual_hosts, Mapping)
        else {domain: host for host in virtual_hosts for domain in host.domains}
    )
    name = authority.lower()
    if name in by_domain:
        return by_domain[name]
    suffixes = [d for d in by_domain if len(d) > 1 and d[0] == "*" and _under_suffix(d, name)]
    if suffixes:
        return by_domain[max(suffixes, key=len)]
    prefixes = [d for d in by_domain if len(d) > 1 and d[-1] == "*" and _under_prefix(d, name)]
    if prefixes:
        return by_domain[max(prefixes, key=len)]
    return by_domain.get("*")


def _under_suffix(domain: str, name: str) -> bool:
    return name.endswith(domain[1:]) and len(name) > len(domain) - 1


def _under_prefix(domain: str, name: str) -> bool:
    return name.startswith(domain[:-1]) and len(name) > len(domain) - 1


def match(virtual_host: VirtualHost, request: Request) -> Decision:
    """Find the first route of the virtual host that takes the request.

    Routes for CONNECT are not worth a word to a request that is none, so they are not in `considered`.
    """
    if virtual_host.require_tls and request.scheme != "https":
        return Decision(virtual_host, None, redirected_to_https=True)
    considered: list[Considered] = []
    for route in virtual_host.routes:
        if route.match.connect and request.method != "CONNECT":
            continue
        reason = why_not(route.match, request)
        if reason is None:
            return Decision(virtual_host, route, tuple(considered))
        considered.append(Considered(route, reason))
    return Decision(virtual_host, None, tuple(considered))


def matches(condition: RouteMatch, request: Request) -> bool:
    """Whether every condition of one route is met."""
    return why_not(condition, request) is None


def why_not(condition: RouteMatch, request: Request) -> str | None:
    """The first condition that the request does not meet, as a sentence; None when all are met."""
    is_connect = request.method == "CONNECT"
    if condition.connect != is_connect:
        return (
            f"method {request.method} is not CONNECT"
            if condition.connect
            else "a CONNECT request has no path, and only CONNECT routes take it"
        )
    if not is_connect:
        path = request.path.split("?", 1)[0].split("#", 1)[0]
        if not _path_matches(condition.path, path):
            return f'path "{path}" {_contrary(condition.path)}'
    for name, wanted in condition.headers:
        reason = _header_fault(name, wanted, request.values(name))
        if reason is not None:
            return reason
    return _query_fault(condition.query, "" if is_connect else request.path)


def allows_origin(policy: CorsPolicy, origin: str) -> bool:
    """Whether a cross-origin policy names an origin; of several conditions one is enough."""
    return any(_value_matches(wanted, origin) for wanted in policy.allow_origins)


def _path_matches(wanted: ValueMatch, path: str) -> bool:
    if wanted.ignore_case and wanted.kind is not MatcherKind.REGEX:
        return _value_matches(
            ValueMatch(wanted.kind, _ascii_lower(wanted.value)), _ascii_lower(path)
        )
    return _value_matches(wanted, path)


def _ascii_lower(text: str) -> str:
    """Lower case of ASCII letters only, as absl::AsciiStrToLower does."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def _value_matches(wanted: ValueMatch, value: str) -> bool:
    match wanted.kind:
        case MatcherKind.EXACT:
            return value == wanted.value
        case MatcherKind.PREFIX:
            return value.startswith(wanted.value)
        case MatcherKind.REGEX:
            return fits(wanted.value, value)
        case MatcherKind.PRESENT:
            return True


def _header_fault(name: str, wanted: ValueMatch, values: tuple[str, ...]) -> str | None:
    """Why a header does not meet its condition; None when it does.

    Of several values one is enough, and for an inverted condition none may fit, a missing header counting as
    empty (measured on Envoy 1.40, which no longer joins values by a comma as older ones did).
    """
    if wanted.kind is MatcherKind.PRESENT:
        is_met = bool(values)
    else:
        is_met = any(_value_matches(wanted, value) for value in values or _as_empty(wanted))
    if is_met != wanted.invert:
        return None
    word = _PSEUDO_WORDS.get(name, f"header {name}")
    if not values:
        return f"{word} is absent" + (", which counts as empty" if wanted.invert else "")
    shown = ", ".join(f'"{value}"' for value in values)
    return f"{word}{'' if name in _PSEUDO_WORDS else ':'} {shown} {_contrary(wanted)}"


def _as_empty(wanted: ValueMatch) -> tuple[str, ...]:
    """What a missing header is taken for."""
    return ("",) if wanted.invert else ()


def _contrary(wanted: ValueMatch) -> str:
    """What is wrong with a value that does not meet its condition, after the value itself."""
    shown = f'"{wanted.value}"'
    match (wanted.kind, wanted.invert):
        case (MatcherKind.EXACT, False):
            return f"is not {shown}" + (" in any case" if wanted.ignore_case else "")
        case (MatcherKind.PREFIX, False):
            case_note = " in any case" if wanted.ignore_case else ""
            return f"does not start with {shown}{case_note}"
        case (MatcherKind.REGEX, False):
            return f"does not match regex {shown} as a whole"
        case (MatcherKind.PRESENT, False):
            return "is absent"
        case (MatcherKind.EXACT, True):
            return "is excluded by withoutHeaders"
        case (MatcherKind.PREFIX, True):
            return f"starts with {shown}, which withoutHeaders excludes"
        case (MatcherKind.REGEX, True):
            return f"matches regex {shown}, which withoutHeaders excludes"
        case _:
            return "is present, which withoutHeaders excludes"


def _query_fault(conditions: tuple[tuple[str, ValueMatch], ...], path: str) -> str | None:
    if not conditions:
        return None
    parameters = first_parameters(path)
    for name, wanted in conditions:
        value = parameters.get(name)
        if value is None:
            return f"query parameter {name} is absent"
        if not _value_matches(wanted, value):
            return f'query parameter {name}: "{value}" {_contrary(wanted)}'
    return None


def first_parameters(path: str) -> dict[str, str]:
    """The query's parameters, the first value of each, nothing decoded (as Envoy's router reads them)."""
    parameters: dict[str, str] = {}
    _, _, query = path.partition("?")
    if query:
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            parameters.setdefault(name, value)
    return parameters
