"""What the compilers must know of this host.

Settings, read once at start, and the telemetry that follows from them and from MeshConfig: a change of any of these
changes clusters or listeners.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from sidecar.telemetry.model import MESH_DECIDES, NO_TELEMETRY, LocalTelemetry, Telemetry
from sidecar.telemetry.packing import ANY_SOURCE, Observer
from sidecar.telemetry.party import NOBODY, Party
from store.objects.mesh_config import MeshConfigSpec

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
    credentials: str = "/etc/meshd/credentials"
    """Folder of `<credentialName>/{tls.crt,tls.key,ca.crt}`."""
    dns_family: DnsFamily = DnsFamily.V4_PREFERRED
    """Addresses taken from DNS answers."""
    dns_hosts_max: int = 1024
    """Names that the dynamic forward proxy keeps resolved; further ones get 503."""
    own_addresses: tuple[str, ...] = ()
    """Addresses of this host besides loopback: the forward proxy refuses its own listeners there."""
    outbound_ports: tuple[int, ...] = ()
    """Ports of this host's outbound listeners, sorted: what the forward proxy must never call."""
    gateway_ports: tuple[tuple[int, int], ...] = ()
    """Ports of this gateway's service and the ports to listen on in their place, where those are others."""
    own_telemetry: LocalTelemetry = MESH_DECIDES
    """What this host's settings say of telemetry."""
    telemetry: Telemetry = NO_TELEMETRY
    """What is in force of it, see `observing`."""
    observer: Observer = ANY_SOURCE
    """Who counts what the listeners forward."""
    party: Party = NOBODY
    """The workload that they speak for."""

    def gateway_port(self, number: int) -> int:
        """Where a gateway's server of this port listens: the target port of the gateway's own service, as in Istio."""
        return dict(self.gateway_ports).get(number, number)

    def observing(self, mesh: MeshConfigSpec) -> CompileOptions:
        """The same with the telemetry that is in force."""
        return replace(self, telemetry=self.own_telemetry.over(mesh))

    def on_behalf(self, observer: Observer, party: Party) -> CompileOptions:
        """The same for the listeners of one workload."""
        return replace(self, observer=observer, party=party)
