"""What the compilers must know of this host, and nothing of the mesh.

All of it is settings, read once at start: a change of any of these changes clusters or listeners.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CompileOptions", "DnsFamily"]

SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""Certificate bundle of the operating system on Debian, Ubuntu and Alpine."""


class DnsFamily(StrEnum):
    """Which addresses of a DNS name are used."""

    V4_ONLY = "V4_ONLY"
    V6_ONLY = "V6_ONLY"
    V4_PREFERRED = "V4_PREFERRED"
    ALL = "ALL"


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Facts about this host that are written into clusters and listeners."""

    system_ca: str = SYSTEM_CA
    """File of certificate authorities that TLS origination trusts where the rule names none."""
    credentials: str = ""
    """Folder of `<credentialName>/{tls.crt,tls.key,ca.crt}`; empty where this host keeps none."""
    dns_family: DnsFamily = DnsFamily.V4_PREFERRED
    """Addresses taken from DNS answers."""
    dns_hosts_max: int = 1024
    """Names that the dynamic forward proxy keeps resolved; further ones get 503."""
    own_addresses: tuple[str, ...] = ()
    """Addresses of this host besides loopback: the forward proxy refuses its own listeners there."""
    outbound_ports: tuple[int, ...] = ()
    """Ports of this host's outbound listeners, sorted: what the forward proxy must never call."""
    access_log: str = ""
    """File for one line a request; empty for none."""

    def credential(self, name: str, part: str) -> str:
        """Path of one file of the credential `name`: `tls.crt`, `tls.key` or `ca.crt`."""
        return f"{self.credentials or '/etc/meshd/credentials'}/{name}/{part}"
