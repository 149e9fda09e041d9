"""What HTTP rules do: forward, redirect, answer, as the table's actions.

Follows Istio's pilot/pkg/networking/core/route/route.go (applyRedirect, applyDirectResponse,
applyHTTPRouteDestination, TranslateRewrite, mirrorPercent). Whether a rule is read at all is for `rules`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace

from sidecar.routing.conditions import Place
from sidecar.routing.destinations import cluster_key, hash_policies, have_endpoints
from sidecar.routing.edits import authority_of, header_edits, parts_per_million
from sidecar.routing.retries import retry_policy
from sidecar.routing.sight import RuleSource, Sight
from sidecar.routing.table import (
    Action,
    ClusterKey,
    DirectResponse,
    Forward,
    Mirror,
    Redirect,
    Rewrite,
    WeightedCluster,
)
from store.objects.virtual_service import (
    Destination,
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRoute,
    HTTPRouteDestination,
    Percent,
    RedirectPortSelection,
)

__all__ = ["REDIRECT_CODES", "Doing", "action_of", "with_rewrite"]

REDIRECT_CODES = (301, 302, 303, 307, 308)
"""Redirect codes that have an action; Istio ignores a rule with any other."""

_WELL_KNOWN_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Doing:
    """The action of one rule, without what depends on the match block."""

    action: Action
    keys: tuple[tuple[str, ClusterKey], ...] = ()
    """(place under the rule, cluster) of every destination and mirror."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """One rule being read."""

    sight: Sight
    source: RuleSource
    place: Place
    keys: list[tuple[str, ClusterKey]] = field(default_factory=list)

    def key(self, destination: Destination, path: str) -> ClusterKey:
        key = cluster_key(self.sight, destination, self.source.ref.namespace, self.place.port)
        self.keys.append((path, key))
        return key


def action_of(sight: Sight, source: RuleSource, rule: HTTPRoute, place: Place) -> Doing | str:
    """What a rule does with requests, or why it does nothing, as a sentence.

    A rewrite of the path is left to `with_rewrite`, since it depends on the match block.
    """
    if rule.redirect is not None:
        code = rule.redirect.redirect_code or 301
        if code not in REDIRECT_CODES:
            return f"redirectCode {code} is none of {', '.join(map(str, REDIRECT_CODES))}"
        return Doing(_redirect(rule.redirect, code, place))
    if rule.direct_response is not None:
        return Doing(_direct_response(rule.direct_response))
    if not rule.route:
        return "it has neither route nor redirect nor directResponse"
    reading = _Reading(sight, source, place)
    clusters = _split(reading, rule)
    if not clusters:
        return "every weight in its route is 0"
    keys = [c.cluster for c in clusters if isinstance(c.cluster, ClusterKey)]
    hashes = hash_policies(sight, keys)
    forward = Forward(
        clusters=clusters,
        timeout_s=rule.timeout or 0.0,
        retry=retry_policy(
            rule.retries,
            sight.config.default_http_retry_policy,
            one_hashed_destination=len(clusters) == 1 and bool(hashes),
        ),
        mirrors=_mirrors(reading, rule),
        hash_policies=hashes,
        has_endpoints=have_endpoints(sight, keys),
    )
    return Doing(forward, tuple(reading.keys))


def with_rewrite(action: Action, rule: HTTPRoute, block: HTTPMatchRequest | None) -> Action:
    """The action with the rule's rewrite, as it is for requests that this match block takes.

    After a prefix match `uri` replaces the prefix, after any other the whole path. The authority of
    `rewrite` beats that of the rule's header edits.
    """
    if not isinstance(action, Forward):
        return action
    rewrite = rule.rewrite
    authority = (rewrite.authority if rewrite else None) or authority_of(rule.headers)
    uri = rewrite.uri if rewrite else None
    regex = rewrite.uri_regex_rewrite if rewrite and not uri else None
    if not (authority or uri or regex):
        return action
    by_prefix = block is None or block.uri is None or block.uri.prefix is not None
    return replace(
        action,
        rewrite=Rewrite(
            prefix=uri or None,
            full_path=bool(uri) and not by_prefix,
            regex=(regex.match or "") if regex else "",
            substitution=(regex.rewrite or "") if regex else "",
            authority=authority,
        ),
    )


def _split(reading: _Reading, rule: HTTPRoute) -> tuple[WeightedCluster, ...]:
    """The weighted clusters: a single destination takes all, whatever its weight; 0 among several none."""
    if len(rule.route) == 1:
        only = rule.route[0]
        key = reading.key(only.destination, "route[0].destination")
        above = authority_of(rule.headers) or (rule.rewrite and rule.rewrite.authority)
        authority = "" if above else authority_of(only.headers)
        return (WeightedCluster(key, 1, header_edits(only.headers), authority),)
    return tuple(
        _weighted(reading, destination, f"route[{index}].destination")
        for index, destination in enumerate(rule.route)
        if destination.weight
    )


def _weighted(reading: _Reading, target: HTTPRouteDestination, path: str) -> WeightedCluster:
    key = reading.key(target.destination, path)
    edits, authority = header_edits(target.headers), authority_of(target.headers)
    return WeightedCluster(key, target.weight or 0, edits, authority)


def _mirrors(reading: _Reading, rule: HTTPRoute) -> tuple[Mirror, ...]:
    """Mirrors with a share above nothing; `mirrors` and the older `mirror` exclude each other."""
    asked: list[tuple[str, Destination, float]] = [
        (f"mirrors[{index}].destination", policy.destination, _percent(policy.percentage, None))
        for index, policy in enumerate(rule.mirrors)
    ]
    if rule.mirror is not None and not asked:
        share = _percent(rule.mirror_percentage, rule.mirror_percent)
        asked.append(("mirror", rule.mirror, share))
    return tuple(
        Mirror(reading.key(destination, path), parts_per_million(share))
        for path, destination, share in asked
        if share > 0
    )


def _percent(percentage: Percent | None, percent: int | None) -> float:
    """Share of requests in percent; all of them where neither field is given."""
    if percentage is not None:
        return percentage.value or 0.0
    return 100.0 if percent is None else float(percent)


def _redirect(redirect: HTTPRedirect, code: int, place: Place) -> Redirect:
    """The redirect; a port that the scheme has anyway (its own, else that of the request) is not spelled out."""
    derived = redirect.derive_port is RedirectPortSelection.FROM_REQUEST_PORT
    port = place.port if derived else redirect.port or 0
    scheme = redirect.scheme or ""
    spoken = scheme or ("https" if place.is_tls else "http")
    return Redirect(
        code=code,
        path=redirect.uri or None,
        prefix=None if redirect.uri else redirect.prefix_rewrite or None,
        authority=redirect.authority or "",
        scheme=scheme,
        port=0 if _WELL_KNOWN_PORTS.get(spoken) == port else port,
    )


def _direct_response(response: HTTPDirectResponse) -> DirectResponse:
    body = response.body
    if body is None:
        return DirectResponse(response.status)
    if body.string is not None:
        return DirectResponse(response.status, body.string.encode())
    return DirectResponse(response.status, _decoded(body.bytes or ""))


def _decoded(text: str) -> bytes:
    """Bytes of a base64 field; what is not base64 is refused by validation and read as nothing here."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
