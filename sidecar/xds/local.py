"""Listeners and clusters of this host's own applications among what Envoy should have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecar.mesh.model import MeshChange, Provenance
from sidecar.mesh.view import View
from sidecar.routing.inbound import inbound_virtual_host
from sidecar.telemetry.packing import ANY_DESTINATION
from sidecar.telemetry.party import NOBODY
from sidecar.xds.compile import (
    CompileOptions,
    InboundPort,
    compile_inbound_cluster,
    compile_inbound_listener,
)
from sidecar.xds.compile.capture import CaptureBind, InboundChains, compile_inbound_capture
from sidecar.xds.dependencies import Dependencies
from sidecar.xds.holdings import Holdings
from sidecar.xds.ingress import LocalPort, local_ports
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.mesh_config import MeshConfigSpec

__all__ = ["CAPTURED", "Local"]

CAPTURED = "captured-inbound"
"""Name of the listener for redirected connections to local workloads."""


class Local:
    """Puts what stands before local applications among the holdings, and takes it back.

    Args:
        registered: Ports of the workloads that this host registers.
        holdings: Where resources are put.
        options: Facts about this host.
        captured: Where redirected connections to them arrive; None where they are not captured.
    """

    def __init__(
        self,
        registered: Iterable[InboundPort],
        holdings: Holdings,
        options: CompileOptions,
        captured: CaptureBind | None = None,
    ) -> None:
        self._registered = tuple(registered)
        self._holdings = holdings
        self._options = options
        self._captured = captured
        self._dependencies: Dependencies[str] = Dependencies()
        self._held: frozenset[tuple[TypeUrl, str]] = frozenset()

    def port(self, number: str) -> InboundPort | None:
        """The registered port of this number, as listeners are told apart by."""
        return next((one for one in self._registered if str(one.key.port) == number), None)

    def serve(self, registered: Iterable[InboundPort]) -> None:
        """These are the registered ports from the next update on."""
        self._registered = tuple(registered)

    def update(self, views: Mapping[str, View], change: MeshChange) -> None:
        """Follow a change of the mesh."""
        if not change.everything and not self._dependencies.touched(change):
            return
        view = next(iter(views.values()))
        hosts = (
            view.resolve_host(port.service, port.namespace)
            for port in self._registered
            if port.service
        )
        self._dependencies.file("ports", hosts)
        address = next(iter(self._options.own_addresses), "0.0.0.0")
        contexts = [each.context for each in views.values()]
        ports = local_ports(view.mesh, self._registered, contexts, address)
        compiled = [(one, *self._compiled(one, view.config)) for one in ports]
        made = [resource for _, *both in compiled for resource in both]
        if self._captured is not None:
            chains = [
                InboundChains(local.addressed, listener)
                for local, _, listener in compiled
                if local.addressed
            ]
            options = self._options.observing(view.config).on_behalf(ANY_DESTINATION, NOBODY)
            made.append(compile_inbound_capture(CAPTURED, self._captured, chains, options))
        for resource in made:
            self._holdings.put(resource)
        held = frozenset((resource.type_url, resource.name) for resource in made)
        for kind, name in self._held - held:
            self._holdings.drop(kind, name)
        self._held = held

    def _compiled(self, local: LocalPort, config: MeshConfigSpec) -> tuple[Resource, Resource]:
        port = local.port
        cluster = compile_inbound_cluster(
            port.key,
            port.app_address,
            port.app_port,
            port.protocol,
            config.connect_timeout,
            pool=local.pool,
            sources=local.sources,
        )
        source = Provenance(None, path=f"local workload port {port.key.port}")
        vh = (
            inbound_virtual_host(port.key.port, port.protocol, source)
            if port.protocol.is_http
            else None
        )
        listener = compile_inbound_listener(
            port, vh, self._options.observing(config), tls=local.tls, sources=local.sources
        )
        return cluster, listener
