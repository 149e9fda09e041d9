"""Conditions of a route as Envoy matchers: path, headers, query parameters.

Follows Istio's route.go (translateRouteMatch) and Envoy's HeaderMatcher. A condition `without` is the same matcher
inverted, and a missing header then counts as empty, so it satisfies the condition.
"""

from __future__ import annotations

from sidecar.routing.table import MatcherKind, RouteMatch, ValueMatch
from sidecar.xds import protos as pb

__all__ = ["compile_match", "header_matcher", "string_matcher"]


def compile_match(match: RouteMatch) -> pb.RouteMatch:
    """All conditions of one route, ANDed."""
    compiled = pb.RouteMatch(
        headers=[header_matcher(name, value) for name, value in match.headers],
        query_parameters=[_query_matcher(name, value) for name, value in match.query],
    )
    if match.connect:
        compiled.connect_matcher.SetInParent()
    else:
        _add_path(compiled, match.path)
    return compiled


def string_matcher(value: ValueMatch) -> pb.StringMatcher:
    """A condition on a string; for PRESENT there is none, use the matcher's own `present_match`."""
    if value.kind is MatcherKind.EXACT:
        return pb.StringMatcher(exact=value.value, ignore_case=value.ignore_case)
    if value.kind is MatcherKind.PREFIX:
        return pb.StringMatcher(prefix=value.value, ignore_case=value.ignore_case)
    return pb.StringMatcher(safe_regex=pb.RegexMatcher(regex=value.value))


def header_matcher(name: str, value: ValueMatch) -> pb.HeaderMatcher:
    """A condition on one header (or on `:method`, `:authority`, `:scheme`)."""
    if _only_present(value):
        return pb.HeaderMatcher(name=name, present_match=True, invert_match=value.invert)
    return pb.HeaderMatcher(
        name=name,
        string_match=string_matcher(value),
        invert_match=value.invert,
        treat_missing_header_as_empty=value.invert,
    )


def _query_matcher(name: str, value: ValueMatch) -> pb.QueryParameterMatcher:
    if _only_present(value):
        return pb.QueryParameterMatcher(name=name, present_match=True)
    return pb.QueryParameterMatcher(name=name, string_match=string_matcher(value))


def _only_present(value: ValueMatch) -> bool:
    # An empty prefix holds for every value; Envoy refuses to load one.
    return value.kind is MatcherKind.PRESENT or (
        value.kind is MatcherKind.PREFIX and value.value == ""
    )


def _add_path(compiled: pb.RouteMatch, path: ValueMatch) -> None:
    if path.kind is MatcherKind.EXACT:
        compiled.path = path.value
    elif path.kind is MatcherKind.REGEX:
        compiled.safe_regex.regex = path.value
    else:
        compiled.prefix = path.value or "/"
    if path.ignore_case and path.kind is not MatcherKind.REGEX:
        compiled.case_sensitive.value = False
