"""What a route makes of a request: the path, authority and headers that go on, and where a redirect leads.

Pure arithmetic on the table's values, so that `meshd trace` can say what a destination will see. Follows Envoy's
source/common/router/config_impl.cc (finalizeRequestHeaders, newUri, processRequestHost), header_parser.cc
(evaluateHeaders) and Http::Utility::createSslRedirectPath. A differential test holds it against a real Envoy.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.routing.expressions import replaced
from sidecar.routing.match import Request
from sidecar.routing.table import (
    Forward,
    HeaderEdits,
    MatcherKind,
    Redirect,
    Rewrite,
    Route,
    ValueMatch,
    WeightedCluster,
)

__all__ = [
    "Fields",
    "redirected_to",
    "redirected_to_https",
    "request_fields",
    "response_fields",
    "sent_authority",
    "sent_path",
]

Fields = tuple[tuple[str, str], ...]
"""Header fields: (lower-case name, value), in order; a name may stand several times."""

_USUAL_PORTS = {"http": ":80", "https": ":443"}


def sent_path(rewrite: Rewrite | None, matched: ValueMatch, path: str) -> str:
    """The path with query that goes on.

    Args:
        rewrite: The route's; None leaves the path.
        matched: The route's condition on the path: its length is what a prefix rewrite replaces.
        path: As received, with the query, which is never rewritten.
    """
    if rewrite is None:
        return path
    only, mark, query = path.partition("?")
    if rewrite.regex:
        return replaced(rewrite.regex, rewrite.substitution, only) + mark + query
    if rewrite.prefix is None:
        return path
    return _with_prefix(rewrite.prefix, matched, only) + mark + query


def _with_prefix(prefix: str, matched: ValueMatch, path: str) -> str:
    """The path with what matched replaced: a prefix, and after any other kind of condition all of it."""
    if matched.kind is not MatcherKind.PREFIX:
        return prefix
    return prefix + path[len(matched.value) :]


def sent_authority(forward: Forward, target: WeightedCluster, authority: str) -> str:
    """The authority that goes on to one destination: the rule's rewrite beats the destination's."""
    above = forward.rewrite.authority if forward.rewrite else ""
    return above or target.authority or authority


def request_fields(route: Route, target: WeightedCluster, fields: Fields) -> Fields:
    """The request's header fields as one destination gets them."""
    for edits in _in_order(route, target):
        fields = _edited(fields, _requests(edits))
    return fields


def response_fields(route: Route, target: WeightedCluster | None, fields: Fields) -> Fields:
    """The header fields of an answer as the client gets them; no target where Envoy answers by itself."""
    for edits in _in_order(route, target):
        fields = _edited(fields, _responses(edits))
    return fields


_Edits = tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]], Sequence[str]]


def _requests(edits: Sequence[HeaderEdits]) -> _Edits:
    return (
        [one for each in edits for one in each.request_set],
        [one for each in edits for one in each.request_add],
        [one for each in edits for one in each.request_remove],
    )


def _responses(edits: Sequence[HeaderEdits]) -> _Edits:
    return (
        [one for each in edits for one in each.response_set],
        [one for each in edits for one in each.response_add],
        [one for each in edits for one in each.response_remove],
    )


def _in_order(route: Route, target: WeightedCluster | None) -> Sequence[Sequence[HeaderEdits]]:
    """The edits, in groups that are applied one after another.

    Those of a single destination are one group with the route's (Istio puts them into one list); of several, each
    destination's come before the route's (Envoy: the most specific first).
    """
    if target is None:
        return ((route.edits,),)
    is_alone = isinstance(route.action, Forward) and len(route.action.clusters) == 1
    return ((route.edits, target.edits),) if is_alone else ((target.edits,), (route.edits,))


def _edited(fields: Fields, edits: _Edits) -> Fields:
    """One group of edits: what is removed, then what is set, then what is added."""
    sets, adds, removes = edits
    gone = set(removes)
    kept = [(name, value) for name, value in fields if name not in gone]
    for name, value in sets:
        kept = [one for one in kept if one[0] != name] + [(name, value)]
    return (*kept, *adds)


def redirected_to(redirect: Redirect, matched: ValueMatch, request: Request) -> str:
    """The Location of a redirect.

    A port of the authority stays unless the redirect names one, or changes the scheme whose usual port it was.
    """
    scheme = redirect.scheme or request.scheme
    port = f":{redirect.port}" if redirect.port else ""
    host = redirect.authority or _without_stale_port(request, scheme, port)
    only, mark, query = request.path.partition("?")
    if redirect.path is not None:
        has_query = "?" in redirect.path
        path = redirect.path if has_query else redirect.path + mark + query
    elif redirect.prefix is not None:
        path = _with_prefix(redirect.prefix, matched, only) + mark + query
    else:
        path = request.path
    return f"{scheme}://{host}{port}{path}"


def _without_stale_port(request: Request, scheme: str, port: str) -> str:
    authority = request.authority
    start = authority.rfind("]") + 1 if authority.startswith("[") else 0
    colon = authority.find(":", start)
    if colon < 0:
        return authority
    is_usual = authority[colon:] == _USUAL_PORTS.get(request.scheme)
    if port or (scheme != request.scheme and is_usual):
        return authority[:colon]
    return authority


def redirected_to_https(request: Request) -> str:
    """Where a server with `httpsRedirect` sends a plain request: the same place, port and all."""
    return f"https://{request.authority}{request.path}"
