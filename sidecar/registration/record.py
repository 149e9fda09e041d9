"""This host's own registration: what it says of itself, and the steps of its life.

    SERVING ──> DRAINING ──> WITHDRAWN ──> (key deleted)

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
    DRAINING = "draining"
    WITHDRAWN = "withdrawn"


STEPS: Mapping[Stage, frozenset[Stage]] = {
    Stage.SERVING: frozenset({Stage.SERVING, Stage.DRAINING}),
    Stage.DRAINING: frozenset({Stage.DRAINING, Stage.WITHDRAWN}),
    Stage.WITHDRAWN: frozenset({Stage.WITHDRAWN}),
}
"""From each stage, the stages that may follow."""


@dataclass(frozen=True, slots=True)
class OwnPort:
    """One port of a local workload."""

    number: int
    """Port of the service."""
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
    namespace: str
    service: str
    labels: Mapping[str, str]
    ports: tuple[OwnPort, ...]
    service_account: str = ""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """All that this host registers, at one stage of its life."""

    host: str
    address: str
    workloads: tuple[OwnWorkload, ...]
    locality: str = ""
    network: str = ""
    stage: Stage = Stage.SERVING
    unhealthy: frozenset[str] = field(default_factory=frozenset)
    """Names of workloads whose own probe fails."""

    def at(self, stage: Stage) -> OwnRecord:
        """The same record at another stage.

        Raises:
            AssertionError: The step is none that a host's life has.
        """
        assert stage in STEPS[self.stage], f"{self.stage} cannot become {stage}"
        return replace(self, stage=stage)

    def encode(self) -> bytes:
        """The value of the host's key: canonical JSON, so that equal records are equal bytes."""
        document = {
            "apiVersion": HOST_API_VERSION,
            "kind": HOST_KIND,
            "host": self.host,
            "state": self.stage.value,
            "address": self.address,
            "locality": self.locality,
            "network": self.network,
            "workloads": [self._workload(workload) for workload in self.workloads],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def _workload(self, workload: OwnWorkload) -> dict[str, object]:
        return {
            "name": workload.name,
            "namespace": workload.namespace,
            "service": workload.service,
            "labels": dict(workload.labels),
            "serviceAccount": workload.service_account,
            "weight": workload.weight,
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
