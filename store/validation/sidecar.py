"""The rules for Sidecars: inbound and outbound listeners, and which hosts may be reached.

Source: istio/istio pkg/config/validation/validation.go, ValidateSidecar, validateSidecarEgressPortBindAndCaptureMode,
validateSidecarIngressTLS, validateSidecarOutboundTrafficPolicy.
"""

from __future__ import annotations

import re

from store.diagnostics import Path
from store.objects.sidecar import (
    CaptureMode,
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    OutboundTrafficPolicyMode,
    Sidecar,
)
from store.objects.tls import ServerTLSMode
from store.validation import names
from store.validation.connection_pool import check_connection_pool
from store.validation.findings import Findings
from store.validation.server_tls import check_server_tls
from store.validation.shared import (
    check_address_or_host,
    check_destination,
    check_label,
    check_port,
    check_protocol,
    check_selector,
    quoted,
)
from store.validation.values import is_http, is_tls, port_fault

__all__ = ["check_sidecar"]

_ENDPOINT = re.compile(r"(?P<host>127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]|):(?P<port>\d{1,5})\Z")


def check_sidecar(sidecar: Sidecar, found: Findings) -> None:
    """Check one Sidecar of the right shape."""
    spec = sidecar.spec
    at: Path = ("spec",)
    if spec.workload_selector is not None:
        here = (*at, "workloadSelector", "labels")
        if not check_selector(spec.workload_selector.labels, here, found):
            return
    parts = (spec.egress, spec.ingress, spec.outbound_traffic_policy, spec.inbound_connection_pool)
    if not any(parts):
        message = "says nothing: one of egress, ingress, inboundConnectionPool, outboundTrafficPolicy is needed"
        found.add("MESH0322", at, message, at_key=True)
        return
    seen: set[int] = set()
    for index, ingress in enumerate(spec.ingress):
        _check_ingress(ingress, (*at, "ingress", index), seen, found)
    _check_egress(spec.egress, (*at, "egress"), found)
    check_connection_pool(spec.inbound_connection_pool, (*at, "inboundConnectionPool"), found)
    if spec.outbound_traffic_policy is not None:
        _check_policy(spec.outbound_traffic_policy, (*at, "outboundTrafficPolicy"), found)


def _check_ingress(
    listener: IstioIngressListener, at: Path, seen: set[int], found: Findings
) -> None:
    port, here = listener.port, (*at, "port")
    number = port.number or 0
    if number and number in seen:
        found.add(
            "MESH0314", (*here, "number"), f"the port {number} is given twice", "keep one of them"
        )
    seen.add(number)
    check_port(number, (*here, "number"), found)
    _check_port_words(port.protocol, port.name, port.target_port, here, found)
    if not port.protocol:
        found.add(
            "MESH0319",
            (*here, "protocol"),
            "the protocol is required",
            "for instance HTTP",
            at_key=True,
        )
    if listener.bind and not names.is_address(listener.bind):
        message = f"{quoted(listener.bind)} is not an IP address"
        found.add("MESH0304", (*at, "bind"), message)
    if listener.default_endpoint:
        _check_default_endpoint(listener.default_endpoint, (*at, "defaultEndpoint"), found)
    if listener.tls is not None:
        _check_ingress_tls(listener, (*at, "tls"), found)
    check_connection_pool(listener.connection_pool, (*at, "connectionPool"), found)
    pool = listener.connection_pool
    if pool is not None and pool.http is not None and port.protocol and not is_http(port.protocol):
        message = f"the port's protocol is {port.protocol}, so that limits for HTTP have no effect"
        found.add("MESH0324", (*at, "connectionPool", "http"), message, at_key=True)


def _check_port_words(
    protocol: str | None, name: str | None, target_port: int | None, at: Path, found: Findings
) -> None:
    check_protocol(protocol or "", (*at, "protocol"), found)
    if name:
        check_label(name, (*at, "name"), found, "the name of a port")
    if target_port:
        message = "targetPort is not supported in a Sidecar"
        found.add("MESH0325", (*at, "targetPort"), message, "remove it", at_key=True)


def _check_default_endpoint(endpoint: str, at: Path, found: Findings) -> None:
    if endpoint.startswith("unix://"):
        if fault := names.unix_fault(endpoint.removeprefix("unix://")):
            found.add("MESH0317", at, f"{quoted(endpoint)} {fault}")
        return
    parts = _ENDPOINT.match(endpoint)
    if parts is None:
        message = f"{quoted(endpoint)} must be 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///path"
        found.add("MESH0386", at, message)
    elif fault := port_fault(int(parts.group("port"))):
        found.add("MESH0305", at, fault)


def _check_ingress_tls(listener: IstioIngressListener, at: Path, found: Findings) -> None:
    tls = listener.tls
    assert tls is not None
    fields = {
        "subjectAltNames": tls.subject_alt_names,
        "httpsRedirect": tls.https_redirect,
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
        "tlsCertificates": tls.tls_certificates,
    }
    for field, value in fields.items():
        if value:
            message = f"{field} is not supported in a Sidecar"
            found.add("MESH0325", (*at, field), message, "remove it", at_key=True)
    if tls.mode in (ServerTLSMode.ISTIO_MUTUAL, ServerTLSMode.AUTO_PASSTHROUGH):
        message = f"{tls.mode} is not supported in a Sidecar"
        found.add("MESH0325", (*at, "mode"), message, "take SIMPLE, MUTUAL or OPTIONAL_MUTUAL")
        return
    if not is_tls(listener.port.protocol):
        message = f"the port's protocol is {listener.port.protocol or 'not given'}, and tls needs HTTPS or TLS"
        found.add("MESH0360", at, message, "take protocol: HTTPS", at_key=True)
    check_server_tls(tls, at, found)


def _check_egress(listeners: tuple[IstioEgressListener, ...], at: Path, found: Findings) -> None:
    seen_ports: set[int] = set()
    seen_sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        here = (*at, index)
        _check_egress_hosts(listener.hosts, (*here, "hosts"), found)
        if listener.port is None:
            if index != len(listeners) - 1:
                message = (
                    "a listener without a port takes all other ports, so it must be the last one"
                )
                found.add(
                    "MESH0386", here, message, "move it to the end, or give it a port", at_key=True
                )
            if listener.bind:
                message = "a listener with bind needs a port"
                found.add(
                    "MESH0386", (*here, "bind"), message, "add port, or remove bind", at_key=True
                )
            continue
        _check_egress_port(listener, here, seen_ports, seen_sockets, found)


def _check_egress_port(
    listener: IstioEgressListener,
    at: Path,
    seen_ports: set[int],
    seen_sockets: set[str],
    found: Findings,
) -> None:
    port, bind = listener.port, listener.bind or ""
    assert port is not None
    number = port.number or 0
    _check_port_words(port.protocol, port.name, port.target_port, (*at, "port"), found)
    if number == 0:
        fault = (
            names.unix_fault(bind.removeprefix("unix://"))
            if bind.startswith("unix://")
            else "names no socket"
        )
        if fault:
            message = f"port 0 needs a unix socket in bind, found {quoted(bind)}, which {fault}"
            found.add(
                "MESH0317",
                (*at, "bind"),
                message,
                "write unix:///path, or give a port",
                at_key=True,
            )
        elif bind in seen_sockets:
            found.add("MESH0314", (*at, "bind"), f"the socket {quoted(bind)} is given twice")
        seen_sockets.add(bind)
        if listener.capture_mode is CaptureMode.IPTABLES:
            message = "traffic to a unix socket cannot be captured"
            found.add("MESH0386", (*at, "captureMode"), message, "take captureMode: NONE")
        return
    check_port(number, (*at, "port", "number"), found)
    if number in seen_ports:
        message = f"the port {number} is given twice"
        found.add("MESH0314", (*at, "port", "number"), message, "put the hosts into one listener")
    seen_ports.add(number)
    if bind and not names.is_address(bind):
        found.add("MESH0304", (*at, "bind"), f"{quoted(bind)} is not an IP address")


def _check_egress_hosts(hosts: tuple[str, ...], at: Path, found: Findings) -> None:
    if not hosts:
        hint = 'for everything: ["*/*"]; for nothing: ["~/*"]'
        found.add("MESH0385", at, "a listener needs hosts", hint, at_key=True)
    for index, entry in enumerate(hosts):
        here = (*at, index)
        namespace, slash, name = entry.partition("/")
        if not slash or not namespace or not name:
            hint = (
                f'write "*/{entry}" for every namespace, "./{entry}" for its own'
                if not slash
                else ""
            )
            found.add("MESH0385", here, f"{quoted(entry)} is not NAMESPACE/NAME", hint)
            continue
        bare = namespace.removeprefix("~")
        if bare not in ("*", ".", "") and (fault := names.dns_label_fault(bare)):
            message = f'{quoted(entry)}: the namespace {fault}; it is "*", ".", "~" or a name'
            found.add("MESH0385", here, message)
        if names.is_partial_wildcard(name):
            message = f"{quoted(name)} has a wildcard for a part of a label"
            found.add("MESH0302", here, message, 'only "*" and "*.example.com" are allowed')
        else:
            check_address_or_host(name, here, found)
        if entry in hosts[:index]:
            found.add("MESH0387", here, f"{quoted(entry)} is given twice", "remove one of the two")
    others = [entry for entry in hosts if entry != "*/*" and not entry.startswith("~")]
    if "*/*" in hosts and others:
        message = f'"*/*" holds {quoted(others[0])} already'
        found.add("MESH0387", at, message, "remove the other entries", at_key=True)


def _check_policy(policy: OutboundTrafficPolicy, at: Path, found: Findings) -> None:
    proxy = policy.egress_proxy
    if proxy is None:
        return
    here = (*at, "egressProxy")
    if policy.mode is not OutboundTrafficPolicyMode.ALLOW_ANY:
        message = "egressProxy takes the traffic that ALLOW_ANY lets through"
        found.add("MESH0318", here, message, "take mode: ALLOW_ANY, or remove it", at_key=True)
    check_destination(proxy, here, found)
    if "*" in proxy.host:
        found.add("MESH0302", (*here, "host"), "the proxy must be one host, without a wildcard")
    if proxy.port is None:
        found.add("MESH0319", (*here, "port"), "the port of the proxy is required", at_key=True)
