"""The rules for VirtualServices: hosts, gateways, and rules for TLS and TCP; those for HTTP are in `http_route`.

Source: istio/istio pkg/config/validation/validation.go, ValidateVirtualService, validateTLSRoute,
validateTCPRoute.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from store.diagnostics import Path
from store.objects.virtual_service import (
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
    VirtualService,
    VirtualServiceSpec,
)
from store.validation import names
from store.validation.findings import Findings
from store.validation.http_route import Binding, check_http_route
from store.validation.reachability import check_reachability
from store.validation.shared import (
    check_destination,
    check_export_to,
    check_gateway_names,
    check_host,
    check_label,
    check_labels,
    check_port,
    quoted,
)
from store.validation.weights import check_weights

__all__ = ["check_virtual_service"]

_SNI_DNAT = re.compile(r"outbound_\.\d+_\.[-A-Za-z0-9]*_\.(?P<host>.+)\Z")
"""How a gateway between networks names a cluster in SNI: `outbound_.<port>_.<subset>_.<host>`."""


def check_virtual_service(service: VirtualService, found: Findings) -> None:
    """Check one VirtualService of the right shape."""
    spec = service.spec
    at: Path = ("spec",)
    has_mesh = not spec.gateways or "mesh" in spec.gateways
    binding = Binding(
        is_delegate=not spec.hosts,
        in_mesh=has_mesh,
        at_gateways=bool(spec.gateways) and any(name != "mesh" for name in spec.gateways),
    )
    check_gateway_names(spec.gateways, (*at, "gateways"), found)
    if binding.is_delegate:
        _check_delegate(spec, at, found)
    else:
        _check_hosts(spec, at, found, has_mesh=has_mesh)
    if not (spec.http or spec.tcp or spec.tls):
        hint = "add the rules, for instance\n  http:\n  - route:\n    - destination:\n        host: NAME"
        message = "has no rules: one of http, tls and tcp is required"
        found.add("MESH0330", at, message, hint, at_key=True)
    for index, route in enumerate(spec.http):
        check_http_route(route, (*at, "http", index), binding, found)
    for index, tls_route in enumerate(spec.tls):
        here = (*at, "tls", index)
        if not tls_route.match:
            found.add(
                "MESH0319", (*here, "match"), "a TLS rule needs a match with sniHosts", at_key=True
            )
        for number, match in enumerate(tls_route.match):
            _check_tls_match(match, (*here, "match", number), spec.hosts, found)
        _check_route(tls_route.route, here, found)
    for index, tcp_route in enumerate(spec.tcp):
        here = (*at, "tcp", index)
        for number, l4_match in enumerate(tcp_route.match):
            _check_l4(l4_match, (*here, "match", number), found)
        _check_route(tcp_route.route, here, found)
    check_export_to(spec.export_to, service.metadata.namespace, (*at, "exportTo"), found)
    check_reachability(spec.http, (*at, "http"), found)
    check_reachability(spec.tls, (*at, "tls"), found)
    check_reachability(spec.tcp, (*at, "tcp"), found)


def _check_delegate(spec: VirtualServiceSpec, at: Path, found: Findings) -> None:
    for field, value in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if value:
            message = "a VirtualService without hosts is a delegate, which has http rules only"
            found.add(
                "MESH0332", (*at, field), message, f'add hosts, or remove "{field}"', at_key=True
            )


def _check_hosts(spec: VirtualServiceSpec, at: Path, found: Findings, *, has_mesh: bool) -> None:
    has_sni = any(match.sni_hosts for route in spec.tls for match in route.match)
    for index, host in enumerate(spec.hosts):
        here = (*at, "hosts", index)
        for earlier, other in enumerate(spec.hosts[:index]):
            if names.overlap(host, other):
                word = "is given twice" if host == other else f"overlaps with {quoted(other)}"
                message = f"{quoted(host)} {word} (hosts[{earlier}])"
                found.add("MESH0314", here, message, "remove one of the two")
                break
        if host == "*" and has_mesh:
            hint = "name the hosts, or bind the rules to gateways with gateways: [...]"
            message = '"*" would take all traffic of the mesh; it is allowed at gateways only'
            found.add("MESH0341", here, message, hint)
            continue
        dnat = _SNI_DNAT.match(host) if not has_mesh and has_sni else None
        if not names.is_address(host):
            check_host(dnat.group("host") if dnat else host, here, found)


def _check_route(route: Sequence[RouteDestination], at: Path, found: Findings) -> None:
    if not route:
        message = "the rule says nowhere to send connections: route is required"
        found.add(
            "MESH0331", (*at, "route"), message, "add a route with a destination", at_key=True
        )
    for index, destination in enumerate(route):
        check_destination(destination.destination, (*at, "route", index, "destination"), found)
    check_weights([destination.weight or 0 for destination in route], (*at, "route"), found)


def _check_tls_match(
    match: TLSMatchAttributes, at: Path, hosts: Sequence[str], found: Findings
) -> None:
    if not match.sni_hosts:
        found.add("MESH0319", (*at, "sniHosts"), "a TLS match needs sniHosts", at_key=True)
    for index, name in enumerate(match.sni_hosts):
        here = (*at, "sniHosts", index)
        if names.is_address(name):
            message = f"{quoted(name)} is an IP address, which clients do not send as SNI"
            found.add("MESH0324", here, message, "name a host")
            continue
        dnat = _SNI_DNAT.match(name)
        if not check_host(dnat.group("host") if dnat else name, here, found):
            continue
        if hosts and not any(names.covers(host, name) for host in hosts):
            message = f"{quoted(name)} lies within none of the hosts {', '.join(hosts[:5])}"
            found.add("MESH0336", here, message, f"add {quoted(name)} to spec.hosts, or correct it")
    _check_l4(match, at, found)


def _check_l4(match: L4MatchAttributes | TLSMatchAttributes, at: Path, found: Findings) -> None:
    for index, subnet in enumerate(match.destination_subnets):
        if fault := names.subnet_fault(subnet):
            found.add("MESH0304", (*at, "destinationSubnets", index), f"{quoted(subnet)} {fault}")
    check_port(match.port or None, (*at, "port"), found)
    check_labels(match.source_labels, (*at, "sourceLabels"), found)
    check_gateway_names(match.gateways, (*at, "gateways"), found)
    if match.source_namespace:
        check_label(match.source_namespace, (*at, "sourceNamespace"), found, "the namespace")
