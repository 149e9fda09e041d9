"""Rules that no request reaches: warnings about the order of the rules of one VirtualService.

A match never takes effect when an earlier one of the list takes everything that it would. Only what is
certain from the object alone is reported.

Source: istio/istio pkg/config/validation/validation.go (analyzeUnreachableHTTPRules and its siblings);
where Istio guesses (a missing method counts as GET there), this is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store.diagnostics import Path
from store.objects.http_match import HTTPMatchRequest
from store.objects.http_route import HTTPRoute
from store.objects.strings import StringMatch
from store.objects.virtual_service import (
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
)
from store.validation.findings import Findings

__all__ = ["check_reachability"]

Rule = HTTPRoute | TLSRoute | TCPRoute
Match = HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes


def check_reachability(rules: Sequence[Rule], at: Path, found: Findings) -> None:
    """Warn about rules and matches of one list that come too late."""
    first_of: dict[str, str] = {}
    prefixes: list[tuple[str, HTTPMatchRequest]] = []
    catch_all = -1
    for index, rule in enumerate(rules):
        here = (*at, index)
        if catch_all >= 0:
            message = (
                f"never reached: rule {at[-1]}[{catch_all}] has no match, so it takes everything"
            )
            hint = "move the rule without a match to the end"
            found.add("MESH0337", here, message, hint, at_key=True)
        if not rule.match:
            catch_all = index if catch_all < 0 else catch_all
            continue
        late: list[tuple[int, str]] = []
        for number, match in enumerate(rule.match):
            place = f"{at[-1]}[{index}].match[{number}]"
            key = repr(match.model_dump(exclude={"name"}, exclude_defaults=True))
            earlier = first_of.setdefault(key, place)
            if earlier != place:
                late.append((number, f"the same as {earlier}"))
            elif isinstance(match, HTTPMatchRequest):
                wider = next(
                    (where for where, other in prefixes if _takes_all_of(other, match)), ""
                )
                if wider:
                    late.append((number, f"{wider} takes all of it already"))
                prefixes.append((place, match))
        if catch_all < 0:
            _report(rule, late, here, found)


def _report(rule: Rule, late: Sequence[tuple[int, str]], at: Path, found: Findings) -> None:
    if len(late) == len(rule.match):
        message = f"never reached: {late[0][1]}"
        found.add("MESH0337", at, message, "remove the rule, or move it up", at_key=True)
        return
    for number, reason in late:
        message = f"has no effect: {reason}"
        found.add(
            "MESH0338", (*at, "match", number), message, "remove it, or move it up", at_key=True
        )


def _takes_all_of(earlier: HTTPMatchRequest, later: HTTPMatchRequest) -> bool:
    """Whether each request that `later` matches is one that `earlier`, which has a uri prefix, matches."""
    if earlier.uri is None or earlier.uri.prefix is None or later.uri is None:
        return False
    start = later.uri.prefix if later.uri.prefix is not None else later.uri.exact
    if start is None or not _begins(start, earlier.uri.prefix, earlier, later):
        return False
    same_place = (
        earlier.gateways == later.gateways
        and (not earlier.port or earlier.port == later.port)
        and (not earlier.source_namespace or earlier.source_namespace == later.source_namespace)
        and earlier.source_labels.items() <= later.source_labels.items()
    )
    conditions = (
        (earlier.scheme, later.scheme),
        (earlier.method, later.method),
        (earlier.authority, later.authority),
    )
    return (
        same_place
        and all(one is None or one == other for one, other in conditions)
        and _includes(later.headers, earlier.headers)
        and _includes(later.query_params, earlier.query_params)
        and _includes(later.without_headers, earlier.without_headers)
    )


def _begins(start: str, prefix: str, earlier: HTTPMatchRequest, later: HTTPMatchRequest) -> bool:
    if earlier.ignore_uri_case:
        return start.lower().startswith(prefix.lower())
    return not later.ignore_uri_case and start.startswith(prefix)


def _includes(larger: Mapping[str, StringMatch], smaller: Mapping[str, StringMatch]) -> bool:
    return all(larger.get(name) == condition for name, condition in smaller.items())
