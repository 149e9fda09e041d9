"""Which protocol a port speaks, from what objects and registrations say about it.

Istio's rules: a declared protocol is read without regard to case (pkg/config/protocol/instance.go); a
registered port without one is read as Kubernetes ports are, by the prefix of its name and a few well-known
numbers (pkg/config/kube/conversion.go).
"""

from __future__ import annotations

from sidecar.mesh.model import Protocol

__all__ = ["declared_protocol", "registered_protocol"]

_BY_NAME = {protocol.value: protocol for protocol in Protocol if protocol is not Protocol.AUTO}

_SERVER_FIRST_PORTS = frozenset({25, 53, 3306, 27017})
"""Ports whose servers speak first or whose bytes cannot be told apart: never taken for HTTP."""


def declared_protocol(text: str | None) -> Protocol:
    """The protocol that `text` names; AUTO for none and for unknown names."""
    return _BY_NAME.get((text or "").upper(), Protocol.AUTO)


def registered_protocol(protocol: str, port_name: str, number: int) -> Protocol:
    """The protocol of a registered port: as declared, else by its name's prefix, else by its number."""
    if protocol:
        return declared_protocol(protocol)
    name = port_name.upper()
    if name.startswith("GRPC-WEB"):
        return Protocol.GRPC_WEB
    by_prefix = declared_protocol(name.partition("-")[0])
    if by_prefix is Protocol.AUTO and number in _SERVER_FIRST_PORTS:
        return Protocol.TCP
    return by_prefix
