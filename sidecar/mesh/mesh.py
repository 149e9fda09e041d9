"""The mesh: every object in force, indexed for the questions that routing and balancing ask.

Immutable. `Mesh.build` costs what the mesh holds, `Mesh.apply` what changed, and the change that it reports
is exact enough for derived state to be invalidated by host name. Who may see what is decided by
`sidecar.mesh.view`, for one workload context at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from immutables import Map

from sidecar.mesh.buckets import Buckets
from sidecar.mesh.destination_rules import DestinationRuleIndex
from sidecar.mesh.facts import (
    DestinationRuleFacts,
    Facts,
    GatewayFacts,
    MeshDefaults,
    ServiceEntryFacts,
    SidecarFacts,
    VirtualServiceFacts,
    WorkloadEntryFacts,
    read_facts,
)
from sidecar.mesh.invalidation import Affected
from sidecar.mesh.model import MeshChange
from sidecar.mesh.outlines import OUTLINED, outlined_facts
from sidecar.mesh.registrations import registered_workloads
from sidecar.mesh.services import RegisteredWorkload, ServiceIndex, WorkloadKey
from sidecar.mesh.source import ObjectInForce, ObjectSource, SourceChange
from sidecar.mesh.virtual_services import VirtualServiceIndex
from store.keys import MESH_KEY
from store.objects.base import ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import Kind
from store.objects.mesh_config import MeshConfig, MeshConfigSpec

__all__ = ["CONFIG_REF", "Mesh"]

CONFIG_REF = ObjectRef(Kind.MESH_CONFIG, "", MESH_KEY)
"""The one MeshConfig."""

_Registrations = Mapping[str, HostRegistration]
_Workloads = dict[WorkloadKey, RegisteredWorkload]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """The objects and registrations in force at one revision, indexed."""

    objects: Mapping[ObjectRef, ObjectInForce]
    """The objects, whose models are parsed when asked for."""
    registrations: _Registrations
    """The registrations that were indexed."""
    config: MeshConfigSpec = field(default_factory=MeshConfigSpec)
    """Mesh-wide settings."""
    facts: Map[ObjectRef, Facts] = field(default_factory=Map)
    """What the indexes hold of each object: needed to take it out again."""
    workloads: Map[str, _Workloads] = field(default_factory=Map)
    """Workloads of each host as indexed."""
    virtual_services: VirtualServiceIndex = field(default_factory=VirtualServiceIndex)
    """VirtualServices by gateway, audience and host."""
    destination_rules: DestinationRuleIndex = field(default_factory=DestinationRuleIndex)
    """DestinationRules by namespace and host."""
    services: ServiceIndex = field(default_factory=ServiceIndex)
    """Services and what stands behind them."""
    sidecars: Buckets[str, SidecarFacts] = field(default_factory=Buckets)
    """Sidecars by namespace."""
    gateways: Map[ObjectRef, GatewayFacts] = field(default_factory=Map)
    """Gateways."""

    @classmethod
    def build(cls, catalog: ObjectSource, registrations: _Registrations) -> Mesh:
        """Index everything.

        Args:
            catalog: The objects in force.
            registrations: The hosts' registrations in force, those included that ran out and are
                kept (`sidecar.registration`).
        """
        config = _config(catalog)
        defaults = _defaults(config)
        facts: dict[ObjectRef, Facts] = {}
        for ref, found in catalog.objects.items():
            read = _outlined(found, ref, defaults)
            if read is not None:
                facts[ref] = read
        mesh = _of_facts(catalog, registrations, config, facts)
        for host in registrations:
            mesh, _ = mesh._registered(host, catalog, Affected())
        return mesh

    def apply(
        self, catalog: ObjectSource, change: SourceChange, registrations: _Registrations
    ) -> tuple[Mesh, MeshChange]:
        """The next mesh, and what became different.

        Args:
            catalog: The objects now in force.
            change: Objects and hosts that may differ from those indexed here. Hosts whose effective registration
                changed although the store did not (one that ran out was let go) may be left out where both
                registrations are persistent maps (`immutables.Map`): then they are found.
            registrations: As in `build`.
        """
        if CONFIG_REF in change.refs and _config(catalog) != self.config:
            return Mesh.build(catalog, registrations), MeshChange(everything=True)
        affected = Affected()
        mesh = replace(self, objects=catalog.objects)
        defaults = _defaults(self.config)
        for ref in change.refs:
            affected.note(ref, mesh.facts.get(ref), mesh)
            mesh = mesh._indexed(ref, catalog, defaults)
            affected.note(ref, mesh.facts.get(ref), mesh)
        old = mesh.registrations
        mesh = replace(mesh, registrations=registrations)
        for host in {*change.hosts, *_replaced(old, registrations)}:
            mesh, affected = mesh._registered(host, catalog, affected)
        return mesh, affected.change()

    def serves(self, facts: Facts) -> bool:
        """Whether the object behind facts is valid; where that was put off, it is looked at now."""
        found = self.objects.get(facts.ref)
        return found is not None and found.serves

    def _indexed(self, ref: ObjectRef, catalog: ObjectSource, defaults: MeshDefaults) -> Mesh:
        """With what the catalog has under `ref` in place of what is indexed under it."""
        mesh = self
        before = mesh.facts.get(ref)
        if before is not None:
            mesh = mesh._removed(before)
        found = catalog.objects.get(ref)
        if found is None:
            return mesh
        after = _modelled(found, ref, defaults)
        return mesh if after is None else mesh._added(after)

    def _added(self, facts: Facts) -> Mesh:
        mesh = replace(self, facts=self.facts.set(facts.ref, facts))
        match facts:
            case VirtualServiceFacts():
                return replace(mesh, virtual_services=mesh.virtual_services.add(facts))
            case DestinationRuleFacts():
                return replace(mesh, destination_rules=mesh.destination_rules.add(facts))
            case ServiceEntryFacts():
                return replace(mesh, services=mesh.services.with_entry(facts))
            case WorkloadEntryFacts():
                return replace(mesh, services=mesh.services.with_workload_entry(facts))
            case SidecarFacts():
                return replace(mesh, sidecars=mesh.sidecars.add(facts.ref.namespace, facts))
            case GatewayFacts():
                return replace(mesh, gateways=mesh.gateways.set(facts.ref, facts))

    def _removed(self, facts: Facts) -> Mesh:
        mesh = replace(self, facts=self.facts.delete(facts.ref))
        match facts:
            case VirtualServiceFacts():
                return replace(mesh, virtual_services=mesh.virtual_services.remove(facts))
            case DestinationRuleFacts():
                return replace(mesh, destination_rules=mesh.destination_rules.remove(facts))
            case ServiceEntryFacts():
                return replace(mesh, services=mesh.services.without_entry(facts))
            case WorkloadEntryFacts():
                return replace(mesh, services=mesh.services.without_workload_entry(facts))
            case SidecarFacts():
                return replace(mesh, sidecars=mesh.sidecars.remove(facts.ref.namespace, facts.ref))
            case GatewayFacts():
                return replace(mesh, gateways=mesh.gateways.delete(facts.ref))

    def _registered(
        self, host: str, catalog: ObjectSource, affected: Affected
    ) -> tuple[Mesh, Affected]:
        """With the workloads that `host` registers now in place of those indexed for it."""
        before = self.workloads.get(host, {})
        registration = self.registrations.get(host)
        after: _Workloads = {}
        if registration is not None:
            created = _created(host, catalog, before)
            after = registered_workloads(registration, created, self.config.domain)
        services = self.services
        for key, one in before.items():
            if after.get(key) != one:
                services = services.without_workload(one)
                affected.note_workload(one, services)
        for key, one in after.items():
            if before.get(key) != one:
                services = services.with_workload(one)
                affected.note_workload(one, services)
        workloads = self.workloads
        if after:
            workloads = workloads.set(host, after)
        elif host in workloads:
            workloads = workloads.delete(host)
        return replace(self, services=services, workloads=workloads), affected


def _of_facts(
    catalog: ObjectSource,
    registrations: _Registrations,
    config: MeshConfigSpec,
    facts: Mapping[ObjectRef, Facts],
) -> Mesh:
    """A mesh that has all of `facts` indexed, and no registration yet."""
    every = facts.values()
    services = ServiceIndex.of(one for one in every if isinstance(one, ServiceEntryFacts))
    for one in every:
        if isinstance(one, WorkloadEntryFacts):
            services = services.with_workload_entry(one)
    sidecars = (one for one in every if isinstance(one, SidecarFacts))
    return Mesh(
        catalog.objects,
        registrations,
        config,
        facts=Map(facts),
        virtual_services=VirtualServiceIndex.of(
            one for one in every if isinstance(one, VirtualServiceFacts)
        ),
        destination_rules=DestinationRuleIndex.of(
            one for one in every if isinstance(one, DestinationRuleFacts)
        ),
        services=services,
        sidecars=Buckets.of((one.ref.namespace, one) for one in sidecars),
        gateways=Map({one.ref: one for one in every if isinstance(one, GatewayFacts)}),
    )


def _outlined(found: ObjectInForce, ref: ObjectRef, defaults: MeshDefaults) -> Facts | None:
    """The facts of one object, from its outline where that says them: a load must not parse everything."""
    if ref.kind in OUTLINED:
        outline = found.outline
        read = outlined_facts(outline, ref, _revision(found), defaults) if outline else None
        if read is not None:
            return read
    return _modelled(found, ref, defaults)


def _modelled(found: ObjectInForce, ref: ObjectRef, defaults: MeshDefaults) -> Facts | None:
    """The facts of one object from its model; none of one that does not serve."""
    return read_facts(found.model, ref, _revision(found), defaults) if found.serves else None


def _revision(found: ObjectInForce) -> tuple[int, int]:
    return found.entry.create_revision, found.entry.version


def _config(catalog: ObjectSource) -> MeshConfigSpec:
    found = catalog.objects.get(CONFIG_REF)
    if found is None:
        return MeshConfigSpec()
    model = found.model
    assert isinstance(model, MeshConfig), f"{CONFIG_REF} is a {type(model).__name__}"
    return model.spec


def _defaults(config: MeshConfigSpec) -> MeshDefaults:
    return MeshDefaults(
        domain=config.domain,
        root_namespace=config.root_namespace,
        service_export_to=config.default_service_export_to,
        virtual_service_export_to=config.default_virtual_service_export_to,
        destination_rule_export_to=config.default_destination_rule_export_to,
    )


def _created(host: str, catalog: ObjectSource, before: _Workloads) -> int:
    """When the host's key was created; of one that ran out and is kept, when it was created then."""
    entry = None if catalog.snapshot is None else catalog.snapshot.get(f"hosts/{host}")
    if entry is not None:
        return entry.create_revision
    return next((one.create_revision for one in before.values()), 0)


def _replaced(old: _Registrations, new: _Registrations) -> Iterable[str]:
    """Hosts whose registration is another value; empty where the maps do not keep identities."""
    if old is new or not (isinstance(old, Map) and isinstance(new, Map)):
        return ()
    gone = [host for host in old if host not in new]
    return [*gone, *(host for host, value in new.items() if old.get(host) is not value)]
