"""The rules for ServiceEntries: hosts, addresses, ports, and endpoints by kind of resolution.

Source: istio/istio pkg/config/validation/validation.go, ValidateServiceEntry; CRD rules of ServiceEntry.
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.service_entry import Resolution, ServiceEntry, ServiceEntrySpec
from store.validation import names
from store.validation.findings import Findings
from store.validation.shared import (
    check_export_to,
    check_host,
    check_label,
    check_port,
    check_protocol,
    check_selector,
    quoted,
)
from store.validation.values import is_http, is_tls
from store.validation.workload_entry import check_endpoint

__all__ = ["check_service_entry"]

_DYNAMIC_PROTOCOLS = ("http", "tls", "grpc", "http2")


def check_service_entry(entry: ServiceEntry, found: Findings) -> None:
    """Check one ServiceEntry of the right shape."""
    spec = entry.spec
    at: Path = ("spec",)
    resolution = spec.resolution or Resolution.NONE
    if spec.workload_selector is not None:
        here = (*at, "workloadSelector", "labels")
        if not check_selector(spec.workload_selector.labels, here, found):
            return
        if spec.endpoints:
            message = "endpoints and workloadSelector are both given"
            found.add("MESH0318", (*at, "endpoints"), message, "keep one of them", at_key=True)
    _check_hosts(spec, resolution, at, found)
    _check_addresses(spec, resolution, at, found)
    _check_ports(spec, at, found)
    _check_resolution(spec, resolution, at, found)
    _check_several_hosts(spec, resolution, at, found)
    here = (*at, "exportTo")
    check_export_to(spec.export_to, entry.metadata.namespace, here, found, none_allowed=True)


def _check_hosts(spec: ServiceEntrySpec, resolution: Resolution, at: Path, found: Findings) -> None:
    for index, host in enumerate(spec.hosts):
        here = (*at, "hosts", index)
        if host == "*":
            message = '"*" would be a service for every name'
            found.add("MESH0302", here, message, 'name a domain, for instance "*.example.org"')
        elif (
            check_host(host, here, found)
            and names.is_partial_wildcard(host)
            and resolution is not Resolution.DYNAMIC_DNS
        ):
            message = f"{quoted(host)} has a wildcard for a part of a label"
            found.add("MESH0375", here, message, 'write "*." and a domain')
        if resolution is Resolution.DYNAMIC_DNS and not host.startswith("*"):
            message = f"DYNAMIC_DNS is for wildcard hosts, and {quoted(host)} is none"
            found.add("MESH0370", here, message, "take resolution: DNS")


def _check_addresses(
    spec: ServiceEntrySpec, resolution: Resolution, at: Path, found: Findings
) -> None:
    if resolution is Resolution.DYNAMIC_DNS and spec.addresses:
        message = "DYNAMIC_DNS has no addresses"
        found.add("MESH0371", (*at, "addresses"), message, "remove them", at_key=True)
    for index, address in enumerate(spec.addresses):
        here = (*at, "addresses", index)
        if fault := names.subnet_fault(address):
            found.add("MESH0304", here, f"{quoted(address)} {fault}")
        elif "/" in address and resolution not in (Resolution.NONE, Resolution.STATIC):
            message = (
                f"CIDR addresses are allowed only for NONE and STATIC resolution, not {resolution}"
            )
            found.add("MESH0371", here, message, "write single addresses")


def _check_ports(spec: ServiceEntrySpec, at: Path, found: Findings) -> None:
    seen_names: dict[str, int] = {}
    seen_numbers: dict[int, int] = {}
    for index, port in enumerate(spec.ports):
        here = (*at, "ports", index)
        if port.name in seen_names:
            message = (
                f"the port name {quoted(port.name)} is given twice (ports[{seen_names[port.name]}])"
            )
            found.add("MESH0314", (*here, "name"), message, "give each port a name of its own")
        if port.number in seen_numbers:
            message = (
                f"the port number {port.number} is given twice (ports[{seen_numbers[port.number]}])"
            )
            found.add("MESH0314", (*here, "number"), message, "keep one of them")
        seen_names.setdefault(port.name, index)
        seen_numbers.setdefault(port.number, index)
        check_label(port.name, (*here, "name"), found, "the name of a port")
        check_port(port.number, (*here, "number"), found)
        check_port(port.target_port or None, (*here, "targetPort"), found)
        check_protocol(port.protocol or "", (*here, "protocol"), found)
        if not spec.addresses and (port.protocol or "tcp").lower() == "tcp":
            message = (
                "a TCP port without addresses is reached only through a Sidecar's egress listener"
            )
            found.add("MESH0374", here, message, "add addresses, or name the protocol", at_key=True)


def _check_resolution(
    spec: ServiceEntrySpec, resolution: Resolution, at: Path, found: Findings
) -> None:
    here = (*at, "endpoints")
    match resolution:
        case Resolution.NONE:
            if spec.endpoints:
                message = "resolution NONE sends requests to the address that the client asked for"
                hint = "take resolution: STATIC or DNS, or remove the endpoints"
                found.add("MESH0370", here, message, hint, at_key=True)
            if spec.workload_selector is not None:
                message = "resolution NONE uses no endpoints, so that the selector has no effect"
                hint = "take resolution: STATIC"
                found.add("MESH0324", (*at, "workloadSelector"), message, hint, at_key=True)
        case Resolution.STATIC:
            _check_static(spec, here, found)
        case Resolution.DNS | Resolution.DNS_ROUND_ROBIN:
            _check_dns(spec, resolution, at, found)
        case Resolution.DYNAMIC_DNS:
            _check_dynamic(spec, at, found)


def _check_static(spec: ServiceEntrySpec, at: Path, found: Findings) -> None:
    for index, endpoint in enumerate(spec.endpoints):
        here = (*at, index)
        address = endpoint.address or ""
        if address.startswith("unix://") and len(spec.ports) != 1:
            message = (
                f"a unix socket serves exactly one port, and the service has {len(spec.ports)}"
            )
            found.add("MESH0372", (*here, "address"), message)
        elif address and not address.startswith("unix://") and not names.is_address(address):
            message = f"{quoted(address)} is no IP address, which resolution STATIC needs"
            found.add("MESH0372", (*here, "address"), message, "for names take resolution: DNS")
        check_endpoint(endpoint, here, found)
        _check_endpoint_ports(spec, index, here, found)


def _check_endpoint_ports(spec: ServiceEntrySpec, index: int, at: Path, found: Findings) -> None:
    known = [port.name for port in spec.ports]
    for name in spec.endpoints[index].ports:
        if name not in known:
            message = (
                f"the service has no port named {quoted(name)}; it has {', '.join(known) or 'none'}"
            )
            found.add("MESH0373", (*at, "ports", name), message, at_key=True)


def _check_dns(spec: ServiceEntrySpec, resolution: Resolution, at: Path, found: Findings) -> None:
    if not spec.endpoints and spec.workload_selector is None:
        for index, host in enumerate(spec.hosts):
            if "*" in host and host != "*":
                message = f"the wildcard {quoted(host)} cannot be looked up in DNS"
                hint = "add endpoints, or take resolution: NONE or DYNAMIC_DNS"
                found.add("MESH0370", (*at, "hosts", index), message, hint)
    if resolution is Resolution.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        message = f"DNS_ROUND_ROBIN takes at most one endpoint, found {len(spec.endpoints)}"
        found.add("MESH0370", (*at, "endpoints"), message, "take resolution: DNS", at_key=True)
    for index, endpoint in enumerate(spec.endpoints):
        here = (*at, "endpoints", index)
        address = endpoint.address or ""
        if address.startswith("unix://"):
            message = "a unix socket needs resolution STATIC"
            found.add("MESH0372", (*here, "address"), message)
        else:
            check_endpoint(endpoint, here, found)
        _check_endpoint_ports(spec, index, here, found)
    if len(spec.hosts) > 1 and spec.addresses and any(_is_opaque(p.protocol) for p in spec.ports):
        message = "with several hosts and addresses, TCP connections cannot be told apart by host"
        found.add(
            "MESH0324",
            (*at, "addresses"),
            message,
            "write one ServiceEntry for each host",
            at_key=True,
        )


def _check_dynamic(spec: ServiceEntrySpec, at: Path, found: Findings) -> None:
    if spec.endpoints:
        message = "DYNAMIC_DNS looks up the name that the client asked for; it has no endpoints"
        found.add("MESH0370", (*at, "endpoints"), message, "remove them", at_key=True)
    for index, port in enumerate(spec.ports):
        if (port.protocol or "").lower() not in _DYNAMIC_PROTOCOLS:
            message = (
                f"DYNAMIC_DNS takes HTTP, HTTP2, GRPC and TLS, found {quoted(port.protocol or '')}"
            )
            found.add("MESH0370", (*at, "ports", index, "protocol"), message)


def _is_opaque(protocol: str | None) -> bool:
    return not is_http(protocol) and not is_tls(protocol)


def _check_several_hosts(
    spec: ServiceEntrySpec, resolution: Resolution, at: Path, found: Findings
) -> None:
    """Several names behind one port can only be told apart where the protocol names the host."""
    if len(spec.hosts) < 2 or resolution is Resolution.NONE:
        return
    for index, port in enumerate(spec.ports):
        if port.protocol and _is_opaque(port.protocol):
            message = f"several hosts cannot share a port with protocol {port.protocol}, which names no host"
            hint = "write one ServiceEntry for each host"
            found.add("MESH0371", (*at, "ports", index, "protocol"), message, hint)
