"""The rules for one HTTP rule of a VirtualService: its conditions and which action it has.

Source: istio/istio pkg/config/validation/virtualservice.go (validateHTTPRoute and what it calls).
"""

from __future__ import annotations

from dataclasses import dataclass

from store.diagnostics import Path
from store.objects.http_match import HTTPMatchRequest
from store.objects.http_route import HTTPRoute
from store.objects.strings import StringMatch
from store.validation import headers
from store.validation.findings import Findings
from store.validation.http_actions import (
    check_direct_response,
    check_header_edits,
    check_redirect,
    check_retries,
    check_rewrite,
)
from store.validation.http_faults import check_cors, check_fault, check_mirrors
from store.validation.shared import (
    check_destination,
    check_duration,
    check_gateway_names,
    check_label,
    check_labels,
    check_port,
    check_string_match,
    quoted,
)
from store.validation.weights import check_weights

__all__ = ["Binding", "check_http_route"]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the rules of a VirtualService apply."""

    is_delegate: bool
    """It has no hosts, and is only used through other VirtualServices."""
    in_mesh: bool
    """It applies to sidecars."""
    at_gateways: bool
    """It applies to gateways."""


def check_http_route(route: HTTPRoute, at: Path, binding: Binding, found: Findings) -> None:
    """Check one HTTP rule."""
    _check_action(route, at, binding, found)
    for index, match in enumerate(route.match):
        _check_match(match, (*at, "match", index), binding, found)
    for index, destination in enumerate(route.route):
        here = (*at, "route", index)
        check_destination(destination.destination, (*here, "destination"), found)
        check_header_edits(destination.headers, (*here, "headers"), found)
    check_weights([destination.weight or 0 for destination in route.route], (*at, "route"), found)
    check_header_edits(route.headers, (*at, "headers"), found)
    check_redirect(route.redirect, route.match, (*at, "redirect"), found)
    check_direct_response(route.direct_response, (*at, "directResponse"), found)
    check_rewrite(route.rewrite, (*at, "rewrite"), found)
    check_retries(route.retries, (*at, "retries"), found)
    check_duration(route.timeout, (*at, "timeout"), found)
    check_fault(route.fault, (*at, "fault"), found)
    check_cors(route.cors_policy, (*at, "corsPolicy"), found)
    check_mirrors(route, at, found)
    _check_authority(route, at, found)


def _check_action(route: HTTPRoute, at: Path, binding: Binding, found: Findings) -> None:
    given = [
        name
        for name, value in (
            ("route", route.route),
            ("redirect", route.redirect),
            ("directResponse", route.direct_response),
        )
        if value
    ]
    if route.delegate is not None:
        _check_delegate(route, at, binding, given, found)
        return
    if not given:
        hint = "add what is to be done, for instance\n  route:\n  - destination:\n      host: NAME"
        message = "the rule has no action: one of route, redirect and directResponse is required"
        found.add("MESH0331", at, message, hint, at_key=True)
    elif len(given) > 1:
        message = f"the rule has {' and '.join(given)}, of which it can do only one"
        found.add("MESH0331", (*at, given[1]), message, "keep one of them", at_key=True)
    for action in (name for name in given if name != "route"):
        for other, value in (("fault", route.fault), ("rewrite", route.rewrite)):
            if value is not None:
                message = f"{other} has no place in a rule with {action}, which sends nothing on"
                found.add(
                    "MESH0331", (*at, other), message, f"remove {other} or {action}", at_key=True
                )


def _check_delegate(
    route: HTTPRoute, at: Path, binding: Binding, given: list[str], found: Findings
) -> None:
    assert route.delegate is not None
    here = (*at, "delegate")
    if binding.is_delegate:
        message = "a delegate cannot delegate further"
        found.add("MESH0332", here, message, "give the rule an action of its own", at_key=True)
    for name in given:
        message = f"a rule that delegates has no {name} of its own"
        found.add("MESH0332", (*at, name), message, f"remove {name} or delegate", at_key=True)
    if not route.delegate.name:
        found.add("MESH0319", (*here, "name"), "the name of the delegate is required", at_key=True)


def _check_match(match: HTTPMatchRequest, at: Path, binding: Binding, found: Findings) -> None:
    check_string_match(match.uri, (*at, "uri"), found, empty_prefix=True)
    check_string_match(match.scheme, (*at, "scheme"), found)
    check_string_match(match.method, (*at, "method"), found)
    check_string_match(match.authority, (*at, "authority"), found)
    for field, conditions in (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
    ):
        for name, condition in conditions.items():
            here = (*at, field, name)
            _check_header_name(name, here, binding, found)
            if field == "headers" or condition != StringMatch(regex="*"):
                check_string_match(condition, here, found)
    for name, condition in match.query_params.items():
        check_string_match(condition, (*at, "queryParams", name), found)
    check_port(match.port or None, (*at, "port"), found)
    check_labels(match.source_labels, (*at, "sourceLabels"), found)
    check_gateway_names(match.gateways, (*at, "gateways"), found)
    if match.source_namespace:
        check_label(match.source_namespace, (*at, "sourceNamespace"), found, "the namespace")


def _check_header_name(name: str, at: Path, binding: Binding, found: Findings) -> None:
    if fault := headers.matched_name_fault(name):
        found.add("MESH0310", at, f"{quoted(name)} {fault}", at_key=True)
    elif name.startswith("@") and binding.in_mesh:
        message = (
            "claims of tokens are known at gateways only, and these rules also apply to sidecars"
        )
        found.add("MESH0340", at, message, "bind the rules to gateways, without mesh", at_key=True)


def _check_authority(route: HTTPRoute, at: Path, found: Findings) -> None:
    """The host that is sent on may be set once only."""
    places: list[Path] = []
    if route.rewrite is not None and route.rewrite.authority:
        places.append((*at, "rewrite", "authority"))
    request = route.headers.request if route.headers else None
    for field, edits in (("set", request.set), ("add", request.add)) if request else ():
        places += [
            (*at, "headers", "request", field, name)
            for name in edits
            if name.lower() in (":authority", "host")
        ]
    for place in places[1:]:
        message = "the host that is sent on is set more than once"
        found.add("MESH0318", place, message, "set it in one place", at_key=True)
