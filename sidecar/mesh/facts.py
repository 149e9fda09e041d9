"""What the indexes need to know of each object: names, audience, selectors.

A few names of each object are kept for as long as the object is in force; its model, which is much larger, is
parsed when a question is about it and may be forgotten again. Names are completed here with the namespace of
the object (Istio pilot/pkg/model/virtualservice.go resolveVirtualServiceShortnames, config.go
resolveGatewayName).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sidecar.mesh.model import HostName, Protocol
from sidecar.mesh.names import resolve
from sidecar.mesh.protocols import declared_protocol
from sidecar.mesh.visibility import export_list
from store.objects.base import MeshObject, ObjectRef
from store.objects.destination_rule import DestinationRule, DestinationRuleSpec
from store.objects.gateway import Gateway
from store.objects.kinds import Kind
from store.objects.selectors import WorkloadSelector
from store.objects.service_entry import ServiceEntry, ServiceEntrySpec
from store.objects.sidecar import Sidecar
from store.objects.virtual_service import VirtualService, VirtualServiceSpec
from store.objects.workload_entry import WorkloadEntry

__all__ = [
    "MESH_GATEWAY",
    "DestinationRuleFacts",
    "Facts",
    "GatewayFacts",
    "MeshDefaults",
    "ServiceEntryFacts",
    "SidecarFacts",
    "VirtualServiceFacts",
    "WorkloadEntryFacts",
    "destination_rule_facts",
    "gateway_name",
    "read_facts",
    "service_entry_facts",
    "virtual_service_facts",
]

MESH_GATEWAY = "mesh"
"""The reserved gateway name that stands for every sidecar."""


@dataclass(frozen=True, slots=True)
class MeshDefaults:
    """The mesh-wide settings that the reading of an object depends on."""

    domain: str = "cluster.local"
    """Domain that short names are completed with."""
    root_namespace: str = "meshd-system"
    """Namespace whose Sidecars and DestinationRules are defaults for all."""
    service_export_to: tuple[str, ...] = ("*",)
    """Default `exportTo` of services."""
    virtual_service_export_to: tuple[str, ...] = ("*",)
    """Default `exportTo` of virtual services."""
    destination_rule_export_to: tuple[str, ...] = ("*",)
    """Default `exportTo` of destination rules; only `.` and `*` have a meaning."""


@dataclass(frozen=True, slots=True)
class VirtualServiceFacts:
    """A VirtualService as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    hosts: tuple[HostName, ...]
    """Completed hosts; empty for a delegate."""
    gateways: tuple[str, ...]
    """`mesh` or `<namespace>/<name>`."""
    export_to: tuple[str, ...]
    """Resolved: `*`, or names of namespaces."""
    delegates: tuple[ObjectRef, ...] = ()
    """Virtual services that its rules are delegated to."""


@dataclass(frozen=True, slots=True)
class DestinationRuleFacts:
    """A DestinationRule as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    host: HostName
    export_to: tuple[str, ...]
    selector: tuple[tuple[str, str], ...] | None = None
    """Labels of the client workloads that it is for, sorted; None for all."""


@dataclass(frozen=True, slots=True)
class ServiceEntryFacts:
    """A ServiceEntry as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    hosts: tuple[HostName, ...]
    export_to: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    """Virtual addresses, not CIDRs."""
    selector: tuple[tuple[str, str], ...] | None = None
    """Labels of the workloads that it selects, sorted; None when it selects none."""
    http_ports: tuple[int, ...] | None = None
    """Its ports where each declares to speak HTTP; None where one does not."""


@dataclass(frozen=True, slots=True)
class WorkloadEntryFacts:
    """A WorkloadEntry as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    labels: tuple[tuple[str, str], ...]
    """Labels of the endpoint, sorted: those of the metadata override those of the specification."""


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """A Sidecar as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    selector: tuple[tuple[str, str], ...] | None = None
    """Labels of the workloads that it is for, sorted; None for the whole namespace."""


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """A Gateway as the indexes see it."""

    ref: ObjectRef
    create_revision: int
    generation: int
    selector: tuple[tuple[str, str], ...] = ()
    """Labels of the gateway workloads that open it, sorted; empty for every gateway."""


Facts = (
    VirtualServiceFacts
    | DestinationRuleFacts
    | ServiceEntryFacts
    | WorkloadEntryFacts
    | SidecarFacts
    | GatewayFacts
)


def gateway_name(name: str, namespace: str) -> str:
    """`mesh`, or `<namespace>/<name>` for what a VirtualService of `namespace` calls `name`.

    A name with dots is the legacy form `<name>.<namespace>[.svc...]`.
    """
    if name == MESH_GATEWAY:
        return name
    if "/" in name:
        place, _, rest = name.partition("/")
        return f"{namespace if place in ('.', '') else place}/{rest}"
    if "." in name:
        first, place, *_ = name.split(".")
        return f"{place}/{first}"
    return f"{namespace}/{name}"


def read_facts(
    model: MeshObject, ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> Facts | None:
    """The facts of one valid object; None for kinds that no index keeps.

    Args:
        model: The object.
        ref: Its identity, which completes names.
        revision: (create_revision, generation) of its key.
        defaults: Mesh-wide settings.
    """
    match model:
        case VirtualService():
            return _virtual_service(model.spec, ref, revision, defaults)
        case DestinationRule():
            return _destination_rule(model.spec, ref, revision, defaults)
        case ServiceEntry():
            return _service_entry(model.spec, ref, revision, defaults)
        case WorkloadEntry():
            return _workload_entry(model, ref, revision)
        case Sidecar():
            return SidecarFacts(ref, *revision, _selector(model.spec.workload_selector))
        case Gateway():
            return GatewayFacts(ref, *revision, tuple(sorted(model.spec.selector.items())))
        case _:
            return None


def virtual_service_facts(
    ref: ObjectRef,
    revision: tuple[int, int],
    defaults: MeshDefaults,
    *,
    hosts: Iterable[str],
    gateways: Sequence[str],
    export_to: Sequence[str],
    delegates: Iterable[tuple[str, str]],
) -> VirtualServiceFacts:
    """The facts of a VirtualService that names these hosts, gateways and delegates (namespace or "", name)."""
    named = (gateway_name(name, ref.namespace) for name in gateways or (MESH_GATEWAY,))
    roots = (ObjectRef(Kind.VIRTUAL_SERVICE, place or ref.namespace, n) for place, n in delegates)
    return VirtualServiceFacts(
        ref,
        *revision,
        hosts=_hosts(hosts, ref, defaults),
        gateways=_shared(tuple(dict.fromkeys(named))),
        export_to=_shared(
            export_list(export_to, defaults.virtual_service_export_to, ref.namespace)
        ),
        delegates=tuple(dict.fromkeys(roots)),
    )


def destination_rule_facts(
    ref: ObjectRef,
    revision: tuple[int, int],
    defaults: MeshDefaults,
    *,
    host: str,
    export_to: Sequence[str],
    selector: Mapping[str, str] | None,
) -> DestinationRuleFacts:
    """The facts of a DestinationRule for `host`, for clients with the labels of `selector`."""
    default = tuple(e for e in defaults.destination_rule_export_to if e in (".", "*"))
    exported = export_list(export_to, default, ref.namespace)
    return DestinationRuleFacts(
        ref,
        *revision,
        host=resolve(host, ref.namespace, defaults.domain),
        export_to=_shared(exported if selector is None else (ref.namespace,)),
        selector=None if selector is None else tuple(sorted(selector.items())),
    )


def service_entry_facts(
    ref: ObjectRef,
    revision: tuple[int, int],
    defaults: MeshDefaults,
    *,
    hosts: Iterable[str],
    addresses: Iterable[str],
    export_to: Sequence[str],
    selector: Mapping[str, str] | None,
    ports: Iterable[tuple[int, str]] = (),
) -> ServiceEntryFacts:
    """The facts of a ServiceEntry of these hosts, addresses, ports (number, protocol), and labels of its workloads."""
    return ServiceEntryFacts(
        ref,
        *revision,
        hosts=_hosts(hosts, ref, defaults),
        export_to=_shared(export_list(export_to, defaults.service_export_to, ref.namespace)),
        addresses=tuple(address for address in addresses if "/" not in address),
        selector=None if selector is None else tuple(sorted(selector.items())),
        http_ports=_http_ports(tuple(ports)),
    )


@lru_cache(maxsize=1024)
def _http_ports(ports: tuple[tuple[int, str], ...]) -> tuple[int, ...] | None:
    """Numbers of the ports where all declare HTTP; one tuple for all objects that say the same."""
    spoken = [declared_protocol(text) for _, text in ports]
    if any(one is Protocol.AUTO or not one.is_http for one in spoken):
        return None
    return tuple(number for number, _ in ports)


@lru_cache(maxsize=256)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """One tuple for all objects that say the same: most say nothing."""
    return names


def _virtual_service(
    spec: VirtualServiceSpec, ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> VirtualServiceFacts:
    named = (rule.delegate for rule in spec.http if rule.delegate is not None)
    return virtual_service_facts(
        ref,
        revision,
        defaults,
        hosts=spec.hosts,
        gateways=spec.gateways,
        export_to=spec.export_to,
        delegates=((delegate.namespace or "", delegate.name or "") for delegate in named),
    )


def _destination_rule(
    spec: DestinationRuleSpec, ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> DestinationRuleFacts:
    selector = spec.workload_selector
    return destination_rule_facts(
        ref,
        revision,
        defaults,
        host=spec.host,
        export_to=spec.export_to,
        selector=None if selector is None else selector.match_labels,
    )


def _service_entry(
    spec: ServiceEntrySpec, ref: ObjectRef, revision: tuple[int, int], defaults: MeshDefaults
) -> ServiceEntryFacts:
    selector = spec.workload_selector
    return service_entry_facts(
        ref,
        revision,
        defaults,
        hosts=spec.hosts,
        addresses=spec.addresses,
        export_to=spec.export_to,
        selector=None if selector is None else selector.labels,
        ports=[(port.number, port.protocol or "") for port in spec.ports],
    )


def _workload_entry(
    model: WorkloadEntry, ref: ObjectRef, revision: tuple[int, int]
) -> WorkloadEntryFacts:
    labels = {**model.spec.labels, **model.metadata.labels}
    return WorkloadEntryFacts(ref, *revision, tuple(sorted(labels.items())))


def _hosts(names: Iterable[str], ref: ObjectRef, defaults: MeshDefaults) -> tuple[HostName, ...]:
    completed = (resolve(name, ref.namespace, defaults.domain) for name in names)
    return tuple(dict.fromkeys(host for host in completed if host))


def _selector(selector: WorkloadSelector | None) -> tuple[tuple[str, str], ...] | None:
    return None if selector is None else tuple(sorted(selector.labels.items()))
