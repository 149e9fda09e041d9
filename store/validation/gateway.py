"""The rules for Gateways: servers, their ports, hosts and TLS.

Source: istio/istio pkg/config/validation/validation.go, ValidateGateway, validateServer, validateServerPort,
validateTLSOptions.
"""

from __future__ import annotations

from store.diagnostics import Path
from store.objects.gateway import Gateway, Server, ServerTLSMode
from store.validation import names
from store.validation.findings import Findings
from store.validation.server_tls import check_server_tls
from store.validation.shared import (
    check_address_or_host,
    check_labels,
    check_port,
    check_protocol,
    quoted,
)
from store.validation.values import is_http, is_tls

__all__ = ["check_gateway"]


def check_gateway(gateway: Gateway, found: Findings) -> None:
    """Check one Gateway of the right shape."""
    at: Path = ("spec",)
    if fault := names.dns_label_fault(gateway.metadata.name):
        message = f"the name of a Gateway {fault}"
        found.add("MESH0303", ("metadata", "name"), message, "VirtualServices name it by one label")
    if not gateway.spec.servers:
        message = "has no servers, so that it listens on nothing"
        found.add("MESH0319", (*at, "servers"), message, "add at least one server", at_key=True)
    check_labels(gateway.spec.selector, (*at, "selector"), found)
    seen: dict[str, int] = {}
    for index, server in enumerate(gateway.spec.servers):
        here = (*at, "servers", index)
        name = server.port.name
        if name and name in seen:
            message = f"the port name {quoted(name)} is given twice (servers[{seen[name]}])"
            found.add(
                "MESH0314", (*here, "port", "name"), message, "give each port a name of its own"
            )
        seen.setdefault(name, index)
        _check_server(server, here, found)


def _check_server(server: Server, at: Path, found: Findings) -> None:
    if not server.hosts:
        found.add(
            "MESH0319", (*at, "hosts"), "a server needs hosts", 'for all hosts: ["*"]', at_key=True
        )
    for index, host in enumerate(server.hosts):
        _check_server_host(host, (*at, "hosts", index), found)
    _check_server_port(server, at, found)
    _check_server_tls(server, at, found)


def _check_server_host(host: str, at: Path, found: Findings) -> None:
    namespace, slash, name = host.rpartition("/")
    if slash and namespace not in ("*", ".") and (fault := names.dns_label_fault(namespace)):
        message = f'{quoted(host)}: the namespace {fault}; it is "*", "." or a name'
        found.add("MESH0301", at, message)
    if names.is_partial_wildcard(name):
        message = f'{quoted(name)} has a wildcard for a part of a label; only "*" and "*.example.com" are allowed'
        found.add("MESH0302", at, message)
    else:
        check_address_or_host(name, at, found)


def _check_server_port(server: Server, at: Path, found: Findings) -> None:
    port, here = server.port, (*at, "port")
    bind = server.bind or ""
    if bind.startswith("unix://"):
        if fault := names.unix_fault(bind.removeprefix("unix://")):
            found.add("MESH0317", (*at, "bind"), f"{quoted(bind)} {fault}")
        if port.number != 0:
            message = f"a unix socket has no port: number must be 0, found {port.number}"
            found.add("MESH0305", (*here, "number"), message)
    else:
        if bind and not names.is_address(bind):
            found.add(
                "MESH0304",
                (*at, "bind"),
                f"{quoted(bind)} is neither an IP address nor unix:///path",
            )
        check_port(port.number, (*here, "number"), found)
    if not port.protocol:
        found.add(
            "MESH0319", (*here, "protocol"), "the protocol is empty", "for instance HTTP or HTTPS"
        )
    check_protocol(port.protocol, (*here, "protocol"), found)
    if not port.name:
        found.add(
            "MESH0319", (*here, "name"), "the name of the port is empty", "for instance https"
        )
    if port.target_port:
        message = "targetPort is not supported in a Gateway"
        found.add("MESH0325", (*here, "targetPort"), message, "remove it", at_key=True)


def _check_server_tls(server: Server, at: Path, found: Findings) -> None:
    protocol, tls, here = server.port.protocol, server.tls, (*at, "tls")
    if tls is None:
        if is_tls(protocol):
            hint = "add tls with a mode, for instance SIMPLE with serverCertificate and privateKey"
            found.add("MESH0360", here, f"the protocol {protocol} needs tls", hint, at_key=True)
        return
    if is_tls(protocol):
        if tls.https_redirect:
            message = "httpsRedirect is for plain HTTP; this port takes TLS already"
            found.add(
                "MESH0363",
                (*here, "httpsRedirect"),
                message,
                "move it to the server of port 80",
                at_key=True,
            )
        check_server_tls(tls, here, found)
    elif not is_http(protocol):
        message = f"the protocol {protocol} takes no tls"
        found.add(
            "MESH0360", here, message, "take protocol TLS or HTTPS, or remove tls", at_key=True
        )
    elif (tls.mode or ServerTLSMode.PASSTHROUGH) is not ServerTLSMode.PASSTHROUGH or (
        tls.server_certificate or tls.private_key or tls.ca_certificates
    ):
        message = (
            f"the protocol {protocol} is plain text; of tls only httpsRedirect means something"
        )
        found.add(
            "MESH0360",
            here,
            message,
            "take protocol HTTPS, or remove the other fields",
            at_key=True,
        )
