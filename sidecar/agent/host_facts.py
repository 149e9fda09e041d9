"""From settings to what the cores are made of: contexts, builder settings, this host's own record."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from sidecar.agent.settings import FIRST_INBOUND_PORT, SidecarSettings, WorkloadSettings
from sidecar.mesh.model import Context
from sidecar.mesh.protocols import declared_protocol
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from sidecar.routing.table import InboundKey
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.desired import BuilderSettings

__all__ = ["HostFacts", "own_address"]


class HostFacts:
    """What follows from one host's settings; ports of workloads are numbered here, once.

    Args:
        settings: The effective settings.
        address: The address that peers reach this host under.
    """

    def __init__(self, settings: SidecarSettings, address: str) -> None:
        self._settings = settings
        self.address = address
        """The address that peers reach this host under."""
        self._inbound_ports = self._number_ports()

    def contexts(self) -> tuple[Context, ...]:
        """The workload contexts of this host."""
        settings = self._settings
        return tuple(
            Context(
                name=context.name,
                namespace=context.namespace,
                labels=context.labels,
                service_account=context.service_account,
                locality=settings.locality_value,
                network=settings.network,
                is_gateway=settings.role == "gateway",
            )
            for context in settings.effective_contexts()
        )

    def builder(self) -> BuilderSettings:
        """What the desired state depends on."""
        settings = self._settings
        contexts = settings.effective_contexts()
        return BuilderSettings(
            outbound={
                context.name: Bind(context.outbound_bind, context.outbound_port)
                for context in contexts
            },
            inbound=tuple(self._inbound()),
            options=CompileOptions(
                credentials=settings.envoy.credentials,
                access_log=settings.envoy.access_log,
                own_addresses=(self.address,),
                outbound_ports=tuple(sorted({context.outbound_port for context in contexts})),
            ),
            budget_services=settings.budget_services,
            unknown_hosts_max=settings.unknown_hosts_max,
        )

    def record(self) -> OwnRecord:
        """What this host registers."""
        settings = self._settings
        return OwnRecord(
            host=settings.node,
            address=self.address,
            locality=settings.locality,
            network=settings.network,
            workloads=tuple(
                OwnWorkload(
                    name=self.workload_name(workload),
                    namespace=workload.namespace or settings.namespace,
                    service=workload.service,
                    labels={**settings.labels, **workload.labels},
                    service_account=workload.service_account or settings.service_account,
                    weight=workload.weight,
                    ports=tuple(
                        OwnPort(
                            number=port.number,
                            name=port.name or f"{port.protocol.lower()}-{port.number}",
                            protocol=port.protocol.upper(),
                            inbound_port=self._inbound_ports[index, number],
                        )
                        for number, port in enumerate(workload.ports)
                    ),
                )
                for index, workload in enumerate(settings.workloads)
            ),
        )

    def workload_name(self, workload: WorkloadSettings) -> str:
        """The workload's name, or the one that it gets where it has none."""
        return workload.name or "-".join(
            part for part in (workload.service, self._settings.node) if part
        )

    def _number_ports(self) -> dict[tuple[int, int], int]:
        """Inbound port of each (workload, port): as told, else counting up from 15006 past those told."""
        told = {
            port.inbound_port
            for workload in self._settings.workloads
            for port in workload.ports
            if port.inbound_port is not None
        }
        numbers: dict[tuple[int, int], int] = {}
        following = FIRST_INBOUND_PORT
        for index, workload in enumerate(self._settings.workloads):
            for number, port in enumerate(workload.ports):
                if port.inbound_port is not None:
                    numbers[index, number] = port.inbound_port
                    continue
                while following in told:
                    following += 1
                numbers[index, number] = following
                following += 1
        return numbers

    def _inbound(self) -> list[InboundPort]:
        found = []
        for index, workload in enumerate(self._settings.workloads):
            for number, port in enumerate(workload.ports):
                inbound_port = self._inbound_ports[index, number]
                found.append(
                    InboundPort(
                        key=InboundKey(inbound_port),
                        bind=Bind(self.address, inbound_port),
                        app_address=port.app_address,
                        app_port=port.app_port or port.number,
                        protocol=declared_protocol(port.protocol),
                    )
                )
        return found


def own_address(settings: SidecarSettings) -> str:
    """The address that peers reach this host under: as told, else where the route to etcd leaves from.

    Asks the routing table by connecting a datagram socket; no packet is sent.
    """
    if settings.address:
        return settings.address
    for endpoint in settings.etcd.endpoints:
        place = urlsplit(endpoint)
        try:
            found = socket.getaddrinfo(place.hostname, place.port or 2379, type=socket.SOCK_DGRAM)
        except OSError:
            continue
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                try:
                    probe.connect(address)
                except OSError:
                    continue
                return str(probe.getsockname()[0])
    return "127.0.0.1"
