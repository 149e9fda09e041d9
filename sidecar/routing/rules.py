"""HTTP rules of one VirtualService as ordered routes, with the reason for each that is left out.

Follows Istio's route.go BuildHTTPRoutesForVirtualService: rules in order, each match block a route of its
own, and the first that takes every request ends the list. A VirtualService none of whose rules can hold here
is as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sidecar.mesh.model import HostName, Provenance
from sidecar.routing.actions import action_of, with_rewrite
from sidecar.routing.conditions import Place, route_match, why_not_here
from sidecar.routing.destinations import doubt_about
from sidecar.routing.edits import cors_policy, fault, header_edits
from sidecar.routing.sight import RuleSource, Sight
from sidecar.routing.table import Route
from store.objects.virtual_service import HTTPMatchRequest, HTTPRoute

__all__ = ["RuleRoutes", "routes_of"]


@dataclass(frozen=True, slots=True)
class RuleRoutes:
    """What one VirtualService gives at one place."""

    routes: tuple[Route, ...] = ()
    """In order; empty when no rule can hold here."""
    passed_over: tuple[tuple[Provenance, str], ...] = ()
    """(place in the object, sentence) of each rule or block left out, and of doubtful destinations."""
    hosts: frozenset[HostName] = frozenset()
    """Host names of all destinations, for invalidation."""


def routes_of(sight: Sight, source: RuleSource, place: Place) -> RuleRoutes:
    """The routes of a VirtualService's `http` rules for one gateway and port."""
    routes: list[Route] = []
    notes: list[tuple[Provenance, str]] = []
    hosts: set[HostName] = set()
    closed_by = ""
    for index in range(len(source.model.spec.http)):
        path = f"spec.http[{index}]"
        if closed_by:
            notes.append((_at(source, path), f"{closed_by} takes every request before it"))
            continue
        found = _routes_of_rule(sight, source, place, index, notes)
        if found is None:
            continue
        rule_routes, rule_hosts = found
        routes += rule_routes
        hosts |= rule_hosts
        if routes and routes[-1].match.is_catch_all:
            closed_by = path
    return RuleRoutes(tuple(routes), tuple(notes), frozenset(hosts))


def _at(source: RuleSource, path: str) -> Provenance:
    return Provenance(source.ref, source.generation, path)


def _routes_of_rule(
    sight: Sight,
    source: RuleSource,
    place: Place,
    index: int,
    notes: list[tuple[Provenance, str]],
) -> tuple[list[Route], set[HostName]] | None:
    """The routes of one rule and its destinations' hosts; None when it can take no request here."""
    rule, path = source.model.spec.http[index], f"spec.http[{index}]"
    blocks = _blocks_here(source, rule, path, place, notes)
    if not blocks:
        return None
    doing = action_of(sight, source, rule, place)
    if isinstance(doing, str):
        notes.append((_at(source, path), doing))
        return None
    for under, key in doing.keys:
        doubt = doubt_about(sight, key)
        if doubt is not None:
            notes.append((_at(source, f"{path}.{under}"), doubt))
    template = Route(
        name=rule.name or "",
        match=route_match(None),
        action=doing.action,
        source=_at(source, path),
        edits=header_edits(rule.headers),
        fault=fault(rule.fault),
        cors=cors_policy(rule.cors_policy),
    )
    routes: list[Route] = []
    for number, block in blocks:
        route = _route(template, rule, block, number)
        routes.append(route)
        if route.match.is_catch_all:
            break
    return routes, {key.host for _, key in doing.keys}


def _blocks_here(
    source: RuleSource,
    rule: HTTPRoute,
    path: str,
    place: Place,
    notes: list[tuple[Provenance, str]],
) -> list[tuple[int, HTTPMatchRequest | None]]:
    """(index, block) of each match block that can hold here; one (0, None) for a rule without blocks."""
    if not rule.match:
        return [(0, None)]
    here: list[tuple[int, HTTPMatchRequest | None]] = []
    for number, block in enumerate(rule.match):
        reason = why_not_here(block, place, source.ref.namespace)
        if reason is None:
            here.append((number, block))
        else:
            notes.append((_at(source, f"{path}.match[{number}]"), reason))
    return here


def _route(template: Route, rule: HTTPRoute, block: HTTPMatchRequest | None, number: int) -> Route:
    """One route of a rule: the template with this block's conditions, name and rewrite."""
    if block is None:
        return replace(template, action=with_rewrite(template.action, rule, None))
    source = template.source
    return replace(
        template,
        name=f"{template.name}.{block.name}" if block.name else template.name,
        match=route_match(block),
        action=with_rewrite(template.action, rule, block),
        source=source._replace(path=f"{source.path}.match[{number}]"),
        stat_prefix=block.stat_prefix or "",
    )
