"""From what defines a service to the Service that clients see: ports, resolution, addresses.

The oldest visible ServiceEntry leads; younger ones of the same namespace and host add ports that it does not
have. Registrations say the ports only where there is no ServiceEntry. Disagreements are settled in favour of
the older and noted. Source: Istio serviceentry/conversion.go and push_context.go initServiceRegistry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sidecar.mesh.facts import ServiceEntryFacts
from sidecar.mesh.model import HostName, Provenance, Resolution, Service, ServicePort
from sidecar.mesh.protocols import declared_protocol, registered_protocol
from sidecar.mesh.services import RegisteredWorkload
from sidecar.mesh.source import ObjectInForce
from store.objects.base import ObjectRef
from store.objects.service_entry import Location, ServiceEntry, ServiceEntrySpec

__all__ = ["entry_ports", "entry_spec", "registered_service", "service_of_entries"]


def entry_spec(objects: Mapping[ObjectRef, ObjectInForce], ref: ObjectRef) -> ServiceEntrySpec:
    """The specification of ServiceEntry `ref`, which must be in force."""
    model = objects[ref].model
    assert isinstance(model, ServiceEntry), f"{ref} is a {type(model).__name__}"
    return model.spec


def entry_ports(spec: ServiceEntrySpec) -> tuple[ServicePort, ...]:
    """The ports of a ServiceEntry as declared."""
    return tuple(
        ServicePort(port.number, port.name, declared_protocol(port.protocol), port.target_port or 0)
        for port in spec.ports
    )


def service_of_entries(
    host: HostName,
    entries: Sequence[ServiceEntryFacts],
    objects: Mapping[ObjectRef, ObjectInForce],
) -> Service:
    """The service that `entries` (at least one, oldest first, all visible) define for `host`."""
    lead = entries[0]
    specs = [(facts, entry_spec(objects, facts.ref)) for facts in entries]
    first = specs[0][1]
    ports, notes = _union((str(facts.ref), entry_ports(spec)) for facts, spec in specs)
    addresses = (address for _, spec in specs for address in spec.addresses)
    names = (name for _, spec in specs for name in spec.subject_alt_names)
    return Service(
        host=host,
        namespace=lead.ref.namespace,
        ports=ports,
        resolution=Resolution((first.resolution or Resolution.NONE).value),
        external=(first.location or Location.MESH_EXTERNAL) is Location.MESH_EXTERNAL,
        addresses=tuple(dict.fromkeys(addresses)),
        subject_alt_names=tuple(dict.fromkeys(names)),
        export_to=lead.export_to,
        create_revision=lead.create_revision,
        source=Provenance(lead.ref, lead.generation),
        notes=notes,
    )


def registered_service(
    host: HostName,
    namespace: str,
    workloads: Iterable[RegisteredWorkload],
    export_to: tuple[str, ...],
) -> Service:
    """The service that registered workloads (at least one) make by bearing its name.

    Their ports are united. Where two disagree on a port number, the registration that is older wins, then the one of
    the host whose name sorts first, so that all sidecars that see the same registrations agree.
    """
    ordered = sorted(workloads, key=lambda one: (one.create_revision, one.key))
    ports, notes = _union(
        (
            f"hosts/{one.key.host} workload {one.key.name}",
            tuple(
                ServicePort(
                    port.number,
                    port.name or f"port-{port.number}",
                    registered_protocol(port.protocol, port.name, port.number),
                )
                for port in one.workload.ports
            ),
        )
        for one in ordered
    )
    return Service(
        host=host,
        namespace=namespace,
        ports=tuple(sorted(ports, key=lambda port: port.number)),
        resolution=Resolution.STATIC,
        export_to=export_to,
        create_revision=min(one.create_revision for one in ordered),
        source=Provenance(None, 0, f"hosts/{ordered[0].key.host}"),
        notes=notes,
    )


def _union(
    declared: Iterable[tuple[str, tuple[ServicePort, ...]]],
) -> tuple[tuple[ServicePort, ...], tuple[str, ...]]:
    """Ports of every declarer; the first to declare a number has it, and who disagrees is noted."""
    owners: dict[int, tuple[str, ServicePort]] = {}
    notes = []
    for declarer, ports in declared:
        for port in ports:
            owner, held = owners.setdefault(port.number, (declarer, port))
            if (held.protocol, held.name) != (port.protocol, port.name):
                notes.append(
                    f"port {port.number} is {_spoken(held)} by {owner}; "
                    f"{declarer} declares {_spoken(port)}, which is not used"
                )
    return tuple(port for _, port in owners.values()), tuple(notes)


def _spoken(port: ServicePort) -> str:
    return f"{port.protocol or 'undeclared'} ({port.name})"
