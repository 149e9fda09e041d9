"""From Envoy's packed tag to Istio's standard labels, when somebody reads the numbers.

What is the same for all requests of a listener, and what follows from the name of the destination, comes from `Facts`:
this host's settings and the mesh as it is now. Source: Istio, "Istio Standard Metrics";
istio/proxy extensions/common/context.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from sidecar.routing.table import Cluster
from sidecar.telemetry.packing import Packed, Reporter
from sidecar.telemetry.party import NOBODY, UNKNOWN, Party

__all__ = ["Destination", "Facts", "Labels", "labels_of"]

Labels = tuple[tuple[str, str], ...]
_SPIFFE_PARTS = 7


@dataclass(frozen=True, slots=True)
class Destination:
    """What a destination's name says."""

    host: str = ""
    """Its service's host name."""
    name: str = ""
    """Short name of the service."""
    namespace: str = ""
    """Namespace of the service."""
    subset: str = ""
    party: Party = NOBODY
    """What is known of the workloads behind it."""


class Facts(Protocol):
    """What is known on this host beside Envoy's numbers."""

    def context(self, name: str) -> Party:
        """The workload that sends through the listeners of a context."""
        ...

    def local(self, port: str) -> Destination:
        """The local workload behind an inbound port."""
        ...

    def destination(self, context: str, host: str, subset: str) -> Destination:
        """The service of that host name as the context sees it."""
        ...


def labels_of(packed: Packed, facts: Facts, *, tcp: bool) -> Labels:
    """The labels, in Istio's order.

    Args:
        packed: Envoy's tag.
        facts: What is known on this host.
        tcp: Of a connection, not of a request.
    """
    is_source = packed.reporter is Reporter.SOURCE
    if is_source:
        source, destination = facts.context(packed.owner), _destination(packed, facts)
        source_principal, principal = "", packed.principal
    else:
        source, destination = _peer(packed), facts.local(packed.owner)
        source_principal, principal = packed.principal, ""
    policy = "mutual_tls" if packed.principal else UNKNOWN if is_source else "none"
    protocol = "tcp" if tcp else "grpc" if packed.grpc_status else "http"
    status = (
        ()
        if tcp
        else (("response_code", packed.code or "0"), ("grpc_response_status", packed.grpc_status))
    )
    return (
        ("reporter", packed.reporter.value),
        *_party("source", source, source_principal),
        *_party("destination", destination.party, principal),
        ("destination_service", destination.host or UNKNOWN),
        ("destination_service_name", destination.name or UNKNOWN),
        ("destination_service_namespace", destination.namespace or UNKNOWN),
        ("destination_subset", destination.subset),
        ("request_protocol", protocol),
        *status,
        ("response_flags", packed.flags or "-"),
        ("connection_security_policy", policy),
    )


def _party(side: str, party: Party, principal: str) -> Labels:
    return (
        (f"{side}_workload", party.workload or UNKNOWN),
        (f"{side}_workload_namespace", party.namespace or UNKNOWN),
        (f"{side}_principal", principal or party.principal or UNKNOWN),
        (f"{side}_app", party.app or UNKNOWN),
        (f"{side}_version", party.version or UNKNOWN),
        (f"{side}_canonical_service", party.service or UNKNOWN),
        (f"{side}_canonical_revision", party.revision or UNKNOWN),
    )


def _destination(packed: Packed, facts: Facts) -> Destination:
    """The destination that a cluster stands for: `outbound[.CONTEXT]|PORT|SUBSET|HOST`, or `original...`."""
    if packed.cluster in tuple(Cluster):
        return Destination(name=packed.cluster)
    parts = packed.cluster.split("|")
    if len(parts) != 4 or not parts[0].startswith(("outbound", "original")):
        return Destination()
    return facts.destination(packed.owner, parts[3], parts[2])


def _peer(packed: Packed) -> Party:
    """Who sent it: what mutual TLS proved, and beside it what the peer says of itself."""
    peer = Party.heard(packed.peer)
    proven = packed.principal.split("/")
    if len(proven) == _SPIFFE_PARTS and proven[3] == "ns" and proven[5] == "sa":
        # The certificate's word counts; of a peer that claims another namespace nothing is believed.
        if peer.namespace not in ("", proven[4]):
            return Party(namespace=proven[4])
        return replace(peer, namespace=proven[4])
    return peer
