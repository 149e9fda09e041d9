"""HTTP rules of one VirtualService as ordered routes, with the reason for each that is left out.

Follows Istio's route.go BuildHTTPRoutesForVirtualService: rules in order, each match block a route of its
own, and the first that takes every request ends the list. A VirtualService none of whose rules can hold here
is as if it were not there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sidecar.mesh.model import HostName, Provenance
from sidecar.routing.actions import Doing, action_of, with_rewrite
from sidecar.routing.conditions import Place, route_match, why_not_here
from sidecar.routing.delegates import Rule, rules_in_place
from sidecar.routing.destinations import doubt_about
from sidecar.routing.edits import cors_policy, fault, header_edits
from sidecar.routing.sight import RuleSource, Sight
from sidecar.routing.table import Forward, Route
from store.objects.virtual_service import HTTPMatchRequest

__all__ = ["RuleRoutes", "routes_of"]

Notes = list[tuple[Provenance, str]]


@dataclass(frozen=True, slots=True)
class RuleRoutes:
    """What one VirtualService gives at one place."""

    routes: tuple[Route, ...] = ()
    """In order; empty when no rule can hold here."""
    passed_over: tuple[tuple[Provenance, str], ...] = ()
    """(place in the object, sentence) of each rule or block left out, and of doubtful destinations."""
    hosts: frozenset[HostName] = frozenset()
    """Host names of all destinations, for invalidation."""
    sources: tuple[Provenance, ...] = ()
    """The VirtualService, and the delegates that gave routes."""


def routes_of(sight: Sight, source: RuleSource, place: Place) -> RuleRoutes:
    """The routes of a VirtualService's `http` rules for one gateway and port."""
    routes: list[Route] = []
    notes: Notes = []
    hosts: set[HostName] = set()
    sources = {Provenance(source.ref, source.generation): None}
    closed_by = ""
    for rule in rules_in_place(sight, source, notes):
        if closed_by:
            notes.append((rule.at(), f"{closed_by} takes every request before it"))
            continue
        found = _routes_of_rule(sight, rule, place, notes)
        if found is None:
            continue
        rule_routes, rule_hosts = found
        routes += rule_routes
        hosts |= rule_hosts
        sources[rule.at()._replace(path="")] = None
        if routes[-1].match.is_catch_all:
            closed_by = rule.path if rule.source.ref == source.ref else str(rule.at())
    return RuleRoutes(tuple(routes), tuple(notes), frozenset(hosts), tuple(sources))


def _routes_of_rule(
    sight: Sight, rule: Rule, place: Place, notes: Notes
) -> tuple[list[Route], set[HostName]] | None:
    """The routes of one rule and its destinations' hosts; None when it can take no request here."""
    blocks = _blocks_here(rule, place, notes)
    if not blocks:
        return None
    doing = action_of(sight, rule.source, rule.rule, place)
    if isinstance(doing, str):
        notes.append((rule.at(), doing))
        return None
    for under, key in doing.keys:
        doubt = doubt_about(sight, key)
        if doubt is not None:
            notes.append((rule.at(f"{rule.path}.{under}"), doubt))
    template = _template(rule, doing)
    routes: list[Route] = []
    for path, block in blocks:
        route = _route(template, rule, path, block)
        routes.append(route)
        if route.match.is_catch_all:
            break
    return routes, {key.host for _, key in doing.keys}


def _blocks_here(
    rule: Rule, place: Place, notes: Notes
) -> list[tuple[str, HTTPMatchRequest | None]]:
    """(place, block) of each match block that can hold here; one None for a rule without blocks."""
    if not rule.blocks:
        return [(rule.path, None)]
    here: list[tuple[str, HTTPMatchRequest | None]] = []
    for path, block in rule.blocks:
        reason = why_not_here(block, place, rule.source.ref.namespace)
        if reason is None:
            here.append((path, block))
        else:
            notes.append((rule.at(path), reason))
    return here


def _template(rule: Rule, doing: Doing) -> Route:
    """What all routes of a rule have in common.

    Envoy reads a cross-origin policy on routes that send requests on, and on no others (cors_filter.cc).
    """
    said = rule.rule
    is_sent_on = isinstance(doing.action, Forward)
    return Route(
        name=said.name or "",
        match=route_match(None),
        action=doing.action,
        source=rule.at(),
        edits=header_edits(said.headers),
        fault=fault(said.fault),
        cors=cors_policy(said.cors_policy) if is_sent_on else None,
    )


def _route(template: Route, rule: Rule, path: str, block: HTTPMatchRequest | None) -> Route:
    """One route of a rule: the template with this block's conditions, name and rewrite."""
    action = with_rewrite(template.action, rule.rule, block)
    if block is None:
        return replace(template, action=action)
    return replace(
        template,
        name=f"{template.name}.{block.name}" if block.name else template.name,
        match=route_match(block),
        action=action,
        source=rule.at(path),
        stat_prefix=block.stat_prefix or "",
    )
