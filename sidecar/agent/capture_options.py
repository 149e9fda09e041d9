"""The `[capture]` table of the settings: what of this machine's traffic is redirected to its sidecar, and where to.

The sidecar opens the listeners; `meshd-sidecar capture up`, run by root, reads the same settings for its rules.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecar.capture.ranges import parse_network, parse_ports

__all__ = ["FIRST_DNS_PORT", "FIRST_OUTBOUND_PORT", "CaptureOptions"]

Port = Annotated[int, Field(ge=1, le=65535)]
FIRST_OUTBOUND_PORT = 15101
"""Capture listener of the first context; further contexts count up from it."""
FIRST_DNS_PORT = 15153
"""DNS answers of the first context; further contexts count up from it."""


class CaptureOptions(BaseModel):
    """Transparent capture; off, and then applications speak to the outbound listener as to a proxy."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: bool = False
    """Whether the sidecar opens the listeners that captured traffic is redirected to."""
    user: str = "meshd"
    """User of the sidecar and its Envoy, by name or number: its traffic is never captured, so give it no other."""
    outbound: bool = True
    """Whether connections that leave are captured."""
    inbound: bool = True
    """Whether connections that arrive for local workloads are captured."""
    inbound_port: Port = 15190
    """Port of the inbound capture listener."""
    inbound_ports: tuple[str, ...] = ()
    """Ports of applications whose incoming connections are captured; empty: those of the workloads."""
    exclude_inbound_ports: tuple[str, ...] = ()
    """Ports of workloads whose incoming connections are left alone."""
    include_ports: tuple[str, ...] = ()
    """Only connections to these ports are captured: `80`, `8000-8100`; empty: all."""
    exclude_ports: tuple[str, ...] = ()
    """Connections to these ports are left alone."""
    include_ranges: tuple[str, ...] = ()
    """Only connections to these addresses are captured: `10.0.0.0/8`; empty: all."""
    exclude_ranges: tuple[str, ...] = ()
    """Connections to these addresses are left alone."""
    loopback: bool = False
    """Whether connections to this host's own addresses are captured, too."""
    dns: bool = False
    """Whether DNS queries are captured, and answered for the mesh; services without address get a virtual one."""
    dns_servers: tuple[str, ...] = ()
    """Resolvers whose queries are captured, and that other names are asked of; empty: those of /etc/resolv.conf."""
    enforce: bool = False
    """Whether traffic of captured users that would bypass the sidecar is dropped."""

    @field_validator("inbound_ports", "exclude_inbound_ports", "include_ports", "exclude_ports")
    @classmethod
    def _are_ports(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return _each(texts, parse_ports)

    @field_validator("include_ranges", "exclude_ranges")
    @classmethod
    def _are_networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return _each(texts, parse_network)

    @field_validator("dns_servers")
    @classmethod
    def _are_addresses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return _each(texts, ip_address)


def _each(texts: tuple[str, ...], parse: Callable[[str], object]) -> tuple[str, ...]:
    """The texts as they are; raises with every one that is wrong."""
    wrong = []
    for text in texts:
        try:
            parse(text)
        except ValueError as problem:
            wrong.append(str(problem))
    if wrong:
        raise ValueError("; ".join(wrong))
    return texts
