"""Shared ejection as one part of the daemon: what its shell wants of settings, node, Envoy and gossip, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from sidecar.agent.envoy_side import EnvoySide
from sidecar.agent.outcomes import OutcomesSource
from sidecar.agent.outlier_metrics import OutlierMetrics
from sidecar.agent.outlier_shell import GossipVoice, OutlierShell
from sidecar.agent.settings import SidecarSettings
from sidecar.mesh.model import Locality
from sidecar.node.events import EndpointsJudged, EnvoyEjected, Event
from sidecar.node.node import Node
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Place
from sidecar.xds.local_ejections import EjectedUntil

__all__ = ["make_outlier"]


@dataclass(frozen=True)
class _Voice:
    """Implements `sidecar.agent.outlier_shell.NodeVoice` over a node."""

    node: Node
    handle: Callable[[Event], None]

    def judged(self, imposed: Mapping[EndpointName, Imposed]) -> None:
        self.handle(EndpointsJudged(imposed))

    def envoy_ejected(self, until_s: EjectedUntil) -> None:
        self.handle(EnvoyEjected(until_s))

    def held_ejections(self) -> frozenset[tuple[str, Place]]:
        return self.node.builder.held_ejections()

    def locality_of(self, node: str) -> Locality:
        found = self.node.registrations.registrations().get(node)
        return Locality.parse("" if found is None else found.locality)


def make_outlier(
    settings: SidecarSettings,
    address: str,
    *,
    node: Node,
    handle: Callable[[Event], None],
    envoy: EnvoySide,
    gossip: GossipVoice | None,
    registry: CollectorRegistry,
) -> OutlierShell:
    """The shell of shared ejection of this host.

    Args:
        settings: The effective settings.
        address: The address that peers reach this host under.
        node: The node, to look at.
        handle: Has the node take an event in, and does what it asks for.
        envoy: This host's Envoy.
        gossip: The mesh; None where gossip is off.
        registry: Where its metrics are registered.
    """
    return OutlierShell(
        settings.node,
        locality=settings.locality_value,
        address=address,
        voice=_Voice(node, handle),
        source=partial(OutcomesSource, envoy.admin, envoy.driver.report),
        gossip=gossip,
        memory=settings.run_dir / settings.node / "imposed.json",
        metrics=OutlierMetrics(registry),
    )
