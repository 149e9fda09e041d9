"""From settings to what the cores are made of: contexts, builder settings, this host's own record."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

import trio

from sidecar.agent.settings import (
    FIRST_INBOUND_PORT,
    ContextSettings,
    SidecarSettings,
)
from sidecar.mesh.model import Context
from sidecar.mesh.protocols import declared_protocol
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from sidecar.routing.table import InboundKey
from sidecar.telemetry.party import Party
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.compile.listeners import inbound_listener_name
from sidecar.xds.desired import BuilderSettings

__all__ = ["HostFacts", "find_address", "own_address"]

ADDRESS_WITHIN_S = 1.0
"""How long names of etcd's members may take to be looked up: a host must start when DNS is away, too."""
ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses kept for documentation (RFC 5737, RFC 3849): the way to them is the default route."""


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
            parties=self.parties(),
            options=CompileOptions(
                credentials=settings.envoy.credentials,
                own_telemetry=settings.telemetry.local,
                own_addresses=(self.address,),
                outbound_ports=tuple(sorted({context.outbound_port for context in contexts})),
            ),
            budget_services=settings.budget_services,
            unknown_hosts_max=settings.unknown_hosts_max,
        )

    def parties(self) -> Mapping[str, Party]:
        """The workload that each context speaks for, by the context's name.

        A context sends for the local workload of its namespace and account where there is one; else it is known by
        its own name, or this node's.
        """
        return {one.name: self._party(one) for one in self._settings.effective_contexts()}

    def _party(self, context: ContextSettings) -> Party:
        settings = self._settings
        names = [
            settings.workload_name(workload)
            for workload in settings.workloads
            if (workload.namespace or settings.namespace) == context.namespace
            and (workload.service_account or settings.service_account) == context.service_account
        ]
        name = names[0] if len(names) == 1 else context.name or settings.node
        return Party.of(name, context.namespace, context.labels)

    def record(self, gossip_address: str = "") -> OwnRecord:
        """What this host registers, with `address:port` of its gossip where there is any."""
        settings = self._settings
        return OwnRecord(
            host=settings.node,
            address=self.address,
            locality=settings.locality,
            network=settings.network,
            gossip_address=gossip_address,
            workloads=tuple(
                OwnWorkload(
                    name=settings.workload_name(workload),
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

    @property
    def inbound_listeners(self) -> frozenset[str]:
        """Names of the listeners in front of the local workloads."""
        return frozenset(inbound_listener_name(port.bind) for port in self._inbound())

    @property
    def inbound_port_numbers(self) -> frozenset[int]:
        """Ports of those listeners."""
        return frozenset(self._inbound_ports.values())

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
                        workload=self._settings.workload_name(workload),
                        number=port.number,
                        service=workload.service,
                        namespace=workload.namespace or self._settings.namespace,
                        labels={**self._settings.labels, **workload.labels},
                    )
                )
        return found


async def find_address(settings: SidecarSettings) -> str:
    """`own_address`, within a second; where names cannot be looked up by then, the default route decides."""
    with trio.move_on_after(ADDRESS_WITHIN_S):
        return await trio.to_thread.run_sync(partial(own_address, settings), abandon_on_cancel=True)
    return settings.address or _default_address()


def own_address(settings: SidecarSettings) -> str:
    """The address that peers reach this host under: as told, else where the route to etcd leaves from.

    Where no member's name can be looked up, the default route decides: a host that starts without DNS must not
    register an address of loopback. Asks the routing table by connecting a datagram socket; no packet is sent.
    """
    if settings.address:
        return settings.address
    for endpoint in settings.etcd.endpoints:
        place = urlsplit(endpoint)
        if found := _leaving_for(place.hostname or "", place.port or 2379):
            return found
    return _default_address()


def _default_address() -> str:
    found = (_leaving_for(address, 9) for address in ANYWHERE)
    return next((address for address in found if address), "127.0.0.1")


def _leaving_for(host: str, port: int) -> str:
    """Local address of the route to `host`; empty when there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        return ""
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.connect(address)
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return ""
