"""From settings and WorkloadGroups to what the cores are made of: contexts, builder settings, the host's own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from sidecar.agent.own_address import has_ipv6
from sidecar.agent.settings import (
    FIRST_INBOUND_PORT,
    ContextSettings,
    SidecarSettings,
    WorkloadPortSettings,
    WorkloadSettings,
)
from sidecar.certificates.model import Identity, workload_identity
from sidecar.mesh.model import Context, Locality
from sidecar.mesh.protocols import registered_protocol
from sidecar.mesh.source import ObjectInForce
from sidecar.registration.groups import from_group, template_ports
from sidecar.registration.record import OwnPort, OwnRecord, OwnWorkload
from sidecar.routing.table import InboundKey
from sidecar.telemetry.party import Party
from sidecar.xds.compile import Bind, CompileOptions, InboundPort
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.compile.inbound import inbound_listener_name
from sidecar.xds.desired import BuilderSettings
from store.objects.base import ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import Kind
from store.objects.workload_group import ReadinessProbe, WorkloadGroup

__all__ = ["HostFacts"]


class HostFacts:
    """What follows from one host's settings and groups; ports of workloads are numbered here, once.

    Args:
        settings: The effective settings.
        address: The address that peers reach this host under.
    """

    def __init__(self, settings: SidecarSettings, address: str) -> None:
        self._settings = settings
        self.address = address
        """The address that peers reach this host under."""
        groups = (self._group_of(workload) for workload in settings.workloads)
        self._groups: dict[ObjectRef, WorkloadGroup | None] = {
            ref: None for ref in groups if ref is not None
        }
        self._told_ports = {
            port.inbound_port
            for workload in settings.workloads
            for port in workload.ports
            if port.inbound_port is not None
        }
        self._numbered: dict[tuple[int, str, int], int] = {}
        self._secured: frozenset[str] = frozenset()
        self.inbound()  # numbers are given in the order of the settings

    def secure(self, contexts: frozenset[str]) -> bool:
        """Contexts whose identity is there: their workloads take mutual TLS. Whether that is news."""
        before, self._secured = self._secured, contexts
        return before != contexts

    def contexts(self) -> tuple[Context, ...]:
        """The workload contexts of this host.

        Where there is one alone, that nobody listed, it sends for the workloads: labels, locality and network of the
        first that has a group are its own, as far as the settings do not say them.
        """
        settings = self._settings
        member = None if settings.contexts else self._member()
        return tuple(
            Context(
                name=context.name,
                namespace=context.namespace,
                labels={**(member.labels if member else {}), **context.labels},
                service_account=context.service_account,
                identity=_identity(context),
                locality=Locality.parse(settings.locality or (member.locality if member else "")),
                network=settings.network or (member.network if member else ""),
                is_gateway=settings.role == "gateway",
                is_captured=self._captures_outbound,
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
            parties=self.parties(),
            inbound=self.inbound(),
            members=self.record().workloads,
            options=CompileOptions(
                credentials=settings.envoy.credentials,
                own_telemetry=settings.telemetry.local,
                own_addresses=(self.address,),
                outbound_ports=tuple(sorted({context.outbound_port for context in contexts})),
                gateway_ports=self._gateway_ports(),
            ),
            budget_services=settings.budget_services,
            unknown_hosts_max=settings.unknown_hosts_max,
            captured=self._captured() if self._captures_outbound else {},
            captured_inbound=(
                CaptureBind(settings.capture.inbound_port, has_ipv6())
                if settings.capture.enabled and settings.capture.inbound
                else None
            ),
        )

    def _gateway_ports(self) -> tuple[tuple[int, int], ...]:
        """Ports of a gateway's own services that lead to other ports of this host; the first of a number counts."""
        if self._settings.role != "gateway":
            return ()
        found: dict[int, int] = {}
        for workload in self._settings.workloads:
            for port in workload.ports:
                found.setdefault(port.number, port.app_port or port.number)
        return tuple((number, target) for number, target in found.items() if number != target)

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

    def follow(self, objects: Mapping[ObjectRef, ObjectInForce]) -> bool:
        """Take the WorkloadGroups of local workloads as they are now; say whether one is another than before.

        A group that is gone goes on holding: its workloads did not change with it.
        """
        changed = False
        for ref in self._groups:
            found = objects.get(ref)
            model = found.model if found is not None and found.serves else None
            if isinstance(model, WorkloadGroup) and model != self._groups[ref]:
                self._groups[ref] = model
                changed = True
        if changed:
            self.inbound()  # new ports are numbered in the order in which they came
        return changed

    def recall(self, before: HostRegistration) -> None:
        """Number ports of groups as a former run did: peers still connect to them by those numbers."""
        names = {
            (
                workload.namespace or self._settings.namespace,
                self._settings.workload_name(workload),
            ): i
            for i, workload in enumerate(self._settings.workloads)
            if workload.group
        }
        for workload in before.workloads:
            index = names.get((workload.namespace, workload.name))
            for port in workload.ports if index is not None else ():
                taken = self._told_ports | set(self._numbered.values())
                if index is not None and port.target_port not in taken and port.target_port:
                    self._numbered.setdefault((index, port.name, port.number), port.target_port)

    @property
    def missing_groups(self) -> tuple[ObjectRef, ...]:
        """WorkloadGroups that settings name and the mesh does not have; their workloads are left out until it does."""
        return tuple(ref for ref, group in self._groups.items() if group is None)

    @property
    def _captures_outbound(self) -> bool:
        capture = self._settings.capture
        return capture.enabled and capture.outbound and self._settings.role == "sidecar"

    def _captured(self) -> dict[str, CaptureBind]:
        ports = self._settings.capture_ports()
        return {name: CaptureBind(outbound, has_ipv6()) for name, (outbound, _) in ports.items()}

    def record(self, gossip_address: str = "") -> OwnRecord:
        """What this host registers, with `address:port` of its gossip where there is any."""
        settings = self._settings
        return OwnRecord(
            host=settings.node,
            address=self.address,
            locality=settings.locality,
            network=settings.network,
            gossip_address=gossip_address,
            workloads=tuple(self._own(local) for local in self._locals()),
        )

    def probes(self) -> dict[str, ReadinessProbe]:
        """The readiness probe of each workload whose group has one, by the workload's name."""
        return {
            self._settings.workload_name(local.settings): local.group.spec.probe
            for local in self._locals()
            if local.group is not None and local.group.spec.probe is not None
        }

    def applications(self) -> dict[str, list[tuple[str, int]]]:
        """Address and ports of each local application that has any, by the name of its workload."""
        found: dict[str, list[tuple[str, int]]] = {}
        for port in self.inbound():
            found.setdefault(port.workload, []).append((port.app_address, port.app_port))
        return found

    @property
    def inbound_listeners(self) -> frozenset[str]:
        """Names of the listeners in front of the local workloads."""
        return frozenset(inbound_listener_name(port.bind) for port in self.inbound())

    @property
    def inbound_port_numbers(self) -> frozenset[int]:
        """Ports of those listeners."""
        return frozenset(port.bind.port for port in self.inbound())

    def inbound(self) -> tuple[InboundPort, ...]:
        """The listeners in front of the local workloads, as they are registered."""
        made: list[InboundPort] = []
        if self._settings.role == "gateway":
            return ()  # peers connect to the servers of its Gateways themselves
        for local in self._locals():
            own = self._own(local)
            for port in local.ports:
                number = self._inbound_port(local.index, port)
                made.append(
                    InboundPort(
                        key=InboundKey(number),
                        bind=Bind(self.address, number),
                        app_address=port.app_address,
                        app_port=port.app_port or port.number,
                        workload=own.name,
                        protocol=registered_protocol(port.protocol, port.name, port.number),
                        number=port.number,
                        service=own.service,
                        namespace=own.namespace,
                        labels=own.labels,
                        identity=self._identity_of(local, own),
                    )
                )
        return tuple(made)

    def _locals(self) -> list[_Local]:
        """The workloads that are known: all but those whose group is missing."""
        found = []
        for index, workload in enumerate(self._settings.workloads):
            ref = self._group_of(workload)
            group = None if ref is None else self._groups[ref]
            if ref is None or group is not None:
                found.append(_Local(index, workload, group))
        return found

    def _group_of(self, workload: WorkloadSettings) -> ObjectRef | None:
        if not workload.group:
            return None
        namespace = workload.namespace or self._settings.namespace
        return ObjectRef(Kind.WORKLOAD_GROUP, namespace, workload.group)

    def _own(self, local: _Local) -> OwnWorkload:
        """One workload as it is registered."""
        settings, workload = self._settings, local.settings
        own = OwnWorkload(
            name=settings.workload_name(workload),
            namespace=workload.namespace or settings.namespace,
            service=workload.service,
            labels={**settings.labels, **workload.labels},
            service_account=workload.service_account,
            weight=workload.weight,
            ports=tuple(
                OwnPort(
                    number=port.number,
                    name=port.name or f"{port.protocol.lower()}-{port.number}",
                    protocol=port.protocol.upper(),
                    inbound_port=self._inbound_port(local.index, port),
                )
                for port in local.ports
            ),
        )
        if local.group is not None:
            place = {"locality": settings.locality, "network": settings.network}
            own = from_group(own, local.group, **place)
        own = replace(own, service_account=own.service_account or settings.service_account)
        context = self._context_of(local, own)
        # A gateway's servers end TLS as their Gateway says, so mutual TLS to them is for a rule to ask for.
        takes_tls = context is not None and context.name in self._secured
        return replace(own, carries_tls=takes_tls and settings.role != "gateway")

    def _member(self) -> OwnWorkload | None:
        """The first workload that has a group."""
        grouped = (local for local in self._locals() if local.group is not None)
        return next((self._own(local) for local in grouped), None)

    def _context_of(self, local: _Local, own: OwnWorkload) -> ContextSettings | None:
        return self._settings.context_of(local.settings, own.namespace, own.service_account)

    def _identity_of(self, local: _Local, own: OwnWorkload) -> Identity | None:
        context = self._context_of(local, own)
        return None if context is None else _identity(context)

    def _inbound_port(self, index: int, port: WorkloadPortSettings) -> int:
        """Port of the listener in front of an application: as told, else counted up from 15006 past those told.

        A number that a port once had stays its own while this process lives, whatever becomes of its group. A gateway's
        port is that of a server of its Gateways, told by `app_port` where the service's port is another.
        """
        if port.inbound_port is not None:
            return port.inbound_port
        if self._settings.role == "gateway":
            return port.app_port or port.number
        key = index, port.name, port.number
        if key not in self._numbered:
            taken = self._told_ports | set(self._numbered.values())
            self._numbered[key] = next(n for n in count(FIRST_INBOUND_PORT) if n not in taken)
        return self._numbered[key]


@dataclass(frozen=True, slots=True)
class _Local:
    """One workload of the settings with its group."""

    index: int
    """Place in the settings."""
    settings: WorkloadSettings
    group: WorkloadGroup | None
    """None where it names none."""

    @property
    def ports(self) -> tuple[WorkloadPortSettings, ...]:
        """Its ports: as the settings have them, else those of the template, whose protocol their name tells."""
        if self.settings.ports or self.group is None:
            return self.settings.ports
        return tuple(
            WorkloadPortSettings(number=port.number, name=port.name, protocol="")
            for port in template_ports(self.group)
        )


def _identity(context: ContextSettings) -> Identity | None:
    """The identity of a context; None where its settings name no files."""
    settings = context.identity
    files = settings.files()
    if not any(files):
        return None
    domain = settings.trust_domain
    return workload_identity(
        context.name,
        files,
        f"spiffe://{domain}/ns/{context.namespace}/sa/{context.service_account}",
        tuple(dict.fromkeys((domain, *settings.trust_domain_aliases))),
    )
