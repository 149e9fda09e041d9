"""This host's own registration: what it says of itself, and the steps of its life.

    SERVING <──> DRAINING ──> WITHDRAWN ──> DELETED ──> SERVING

Leaving is a step, not an absence: peers that see a key vanish without `draining` or `withdrawn` before it take
that for a lease that ran out, and keep the host's endpoints (`sidecar.registration.expiry`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from store.objects.host import HOST_API_VERSION, HOST_KIND

__all__ = ["STEPS", "OwnPort", "OwnRecord", "OwnWorkload", "Stage"]


class Stage(StrEnum):
    """Where this host stands in its life."""

    SERVING = "serving"
    """Registered; takes requests."""
    DRAINING = "draining"
    """Registered; finishes what it has and gets nothing new."""
    WITHDRAWN = "withdrawn"
    """Registered as gone; peers drop its endpoints."""
    DELETED = "deleted"
    """Its key is deleted."""


STEPS: Mapping[Stage, frozenset[Stage]] = {
    Stage.SERVING: frozenset({Stage.SERVING, Stage.DRAINING}),
    Stage.DRAINING: frozenset({Stage.DRAINING, Stage.SERVING, Stage.WITHDRAWN}),
    Stage.WITHDRAWN: frozenset({Stage.WITHDRAWN, Stage.DELETED}),
    Stage.DELETED: frozenset({Stage.DELETED, Stage.SERVING}),
}
"""From each stage, the stages that may follow; draining may be taken back."""


@dataclass(frozen=True, slots=True)
class OwnPort:
    """One port of a local workload."""

    number: int
    """Port of the service, that clients name."""
    name: str
    """Name of the port."""
    protocol: str
    """What is spoken on it."""
    inbound_port: int
    """Port of this sidecar's listener, which peers connect to."""


@dataclass(frozen=True, slots=True)
class OwnWorkload:
    """One local workload."""

    name: str
    """Name, unique on this host."""
    namespace: str
    """Namespace that it belongs to."""
    service: str
    """Service that it is an endpoint of; empty for none."""
    labels: Mapping[str, str]
    """Labels that selectors and subsets go by."""
    ports: tuple[OwnPort, ...]
    """Ports."""
    service_account: str = ""
    """Service account."""
    weight: int = 1
    """Load-balancing weight."""
    carries_tls: bool = False
    """Whether the sidecar in front of it takes mutual TLS."""
    locality: str = ""
    """`region/zone/subzone`, where it is not the host's."""
    network: str = ""
    """Network of its address, where it is not the host's."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Annotations of its WorkloadGroup, for people: they are shown in the host's status and not registered."""


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """All that this host registers, at one stage of its life."""

    host: str
    """Name of the host: its key in the store."""
    address: str
    """Address that peers connect to."""
    workloads: tuple[OwnWorkload, ...]
    """Its workloads."""
    locality: str = ""
    """`region/zone/subzone`."""
    network: str = ""
    """Network of the address; empty for the common one."""
    stage: Stage = Stage.SERVING
    """Where the host as a whole stands."""
    unhealthy: frozenset[str] = field(default_factory=frozenset)
    """Names of workloads whose own probe fails."""
    draining: frozenset[str] = field(default_factory=frozenset)
    """Names of workloads that drain although the host serves."""
    gossip_address: str = ""
    """`address:port` of its gossip; empty when it does not gossip."""

    def at(self, stage: Stage) -> OwnRecord:
        """The same record at another stage.

        Raises:
            AssertionError: The step is none that a host's life has.
        """
        assert stage in STEPS[self.stage], f"a {self.stage} host cannot become {stage}"
        return replace(self, stage=stage)

    def encode(self) -> bytes:
        """The value of the host's key: canonical JSON, so that equal records are equal bytes.

        Raises:
            AssertionError: The host is deleted; it has no value then.
        """
        assert self.stage is not Stage.DELETED, f"host {self.host} is deleted and has no record"
        document: dict[str, object] = {
            "apiVersion": HOST_API_VERSION,
            "kind": HOST_KIND,
            "host": self.host,
            "state": self.stage.value,
            "address": self.address,
            "locality": self.locality,
            "network": self.network,
            "workloads": [self._workload(workload) for workload in self.workloads],
        }
        if self.gossip_address:
            document["gossipAddress"] = self.gossip_address
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def _workload(self, workload: OwnWorkload) -> dict[str, object]:
        is_draining = workload.name in self.draining
        document: dict[str, object] = {
            "name": workload.name,
            "namespace": workload.namespace,
            "service": workload.service,
            "labels": dict(workload.labels),
            "serviceAccount": workload.service_account,
            "weight": workload.weight,
            "state": (Stage.DRAINING if is_draining else Stage.SERVING).value,
            "health": "unhealthy" if workload.name in self.unhealthy else "healthy",
            "ports": [
                {
                    "number": port.number,
                    "name": port.name,
                    "protocol": port.protocol,
                    "targetPort": port.inbound_port,
                }
                for port in workload.ports
            ],
        }
        if workload.carries_tls:
            document["tlsMode"] = "istio"
        if workload.locality:
            document["locality"] = workload.locality
        if workload.network:
            document["network"] = workload.network
        return document
