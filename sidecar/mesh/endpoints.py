"""From what defines a service to the endpoints of one of its ports.

Endpoints of every ServiceEntry of one host and namespace are united with those of workloads registered under
its name. Rules: Istio serviceentry/conversion.go (convertEndpoint, convertServiceEntryToInstances) and
serviceentry/controller.go for workload selectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sidecar.mesh.definitions import entry_ports, entry_spec
from sidecar.mesh.facts import ServiceEntryFacts
from sidecar.mesh.model import (
    Endpoint,
    Health,
    HostName,
    Locality,
    Provenance,
    Resolution,
    ServicePort,
)
from sidecar.mesh.names import is_address, is_wildcard
from sidecar.mesh.services import RegisteredWorkload, ServiceIndex
from sidecar.mesh.source import ObjectInForce
from store.objects.base import ObjectRef
from store.objects.host import WorkloadHealth
from store.objects.service_entry import ServiceEntrySpec
from store.objects.workload_entry import WorkloadEntry, WorkloadEntrySpec

__all__ = ["entry_endpoints", "registered_endpoints", "united"]

_DNS = frozenset({Resolution.DNS, Resolution.DNS_ROUND_ROBIN})
_WITHOUT_ENDPOINTS = frozenset({Resolution.NONE, Resolution.DYNAMIC_DNS})
_TLS_MODE_LABEL = "security.istio.io/tlsMode"
_LOCALITY_LABEL = "istio-locality"
_HEALTH_CHECKED = "proxy.istio.io/health-checks-enabled"


def entry_endpoints(
    facts: ServiceEntryFacts,
    host: HostName,
    number: int,
    index: ServiceIndex,
    objects: Mapping[ObjectRef, ObjectInForce],
) -> Iterator[Endpoint]:
    """The endpoints that one ServiceEntry gives for port `number` of `host`.

    None where the entry does not declare the port, or its resolution finds addresses by itself.
    """
    spec = entry_spec(objects, facts.ref)
    port = next((port for port in entry_ports(spec) if port.number == number), None)
    resolution = Resolution((spec.resolution or Resolution.NONE).value)
    if port is None or resolution in _WITHOUT_ENDPOINTS:
        return
    if facts.selector is not None:
        yield from _selected(facts, port, resolution, index, objects)
    elif spec.endpoints:
        yield from _inline(facts, spec, port)
    elif resolution in _DNS and not is_wildcard(host):
        yield Endpoint(host, _target(port), source=Provenance(facts.ref, facts.generation))


def registered_endpoints(
    workloads: Iterable[RegisteredWorkload], port: ServicePort
) -> Iterator[Endpoint]:
    """The endpoints of `port` on workloads registered under the service's name that serve it."""
    for one in workloads:
        number = _registered_port(one, port)
        if number and one.address:
            yield _of_workload(one, number)


def united(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Sorted by locality, address and port; of several with one address and port the first counts."""
    first: dict[tuple[str, int], Endpoint] = {}
    for endpoint in endpoints:
        first.setdefault((endpoint.address, endpoint.port), endpoint)
    return tuple(sorted(first.values(), key=lambda e: (e.locality, e.address, e.port)))


def _selected(
    facts: ServiceEntryFacts,
    port: ServicePort,
    resolution: Resolution,
    index: ServiceIndex,
    objects: Mapping[ObjectRef, ObjectInForce],
) -> Iterator[Endpoint]:
    """Workloads of the entry's namespace that its selector takes, registered ones first (they tell their health)."""
    namespace, selector = facts.ref.namespace, facts.selector or ()
    for one in sorted(index.registered.select(namespace, selector), key=lambda one: one.key):
        if one.address:
            yield _of_workload(one, _registered_port(one, port) or _target(port))
    for found in sorted(index.workload_entries.select(namespace, selector), key=lambda f: f.ref):
        model = objects[found.ref].model
        assert isinstance(model, WorkloadEntry), f"{found.ref} is a {type(model).__name__}"
        address = model.spec.address or ""
        if _withheld(model) or not address or not (resolution in _DNS or _is_static(address)):
            continue
        place = Provenance(found.ref, found.generation)
        yield _of_entry(model.spec, dict(found.labels), port, place)


def _inline(
    facts: ServiceEntryFacts, spec: ServiceEntrySpec, port: ServicePort
) -> Iterator[Endpoint]:
    for position, endpoint in enumerate(spec.endpoints):
        if endpoint.address:
            place = Provenance(facts.ref, facts.generation, f"spec.endpoints[{position}]")
            yield _of_entry(endpoint, endpoint.labels, port, place)


def _of_entry(
    spec: WorkloadEntrySpec, labels: Mapping[str, str], port: ServicePort, source: Provenance
) -> Endpoint:
    address = spec.address or ""
    is_socket = address.startswith("unix://")
    locality = spec.locality or labels.get(_LOCALITY_LABEL, "").replace(".", "/")
    carries_tls = labels.get(_TLS_MODE_LABEL) == "istio" or bool(spec.service_account)
    return Endpoint(
        address=address.removeprefix("unix://"),
        port=0 if is_socket else spec.ports.get(port.name) or _target(port),
        labels=labels,
        locality=Locality.parse(locality),
        weight=spec.weight or 1,
        network=spec.network or "",
        service_account=spec.service_account or "",
        tls_mode="istio" if carries_tls else "",
        source=source,
    )


def _of_workload(one: RegisteredWorkload, number: int) -> Endpoint:
    workload = one.workload
    if workload.health is WorkloadHealth.UNHEALTHY:
        health = Health.UNHEALTHY
    else:
        health = Health.DRAINING if one.is_draining else Health.HEALTHY
    is_socket = one.address.startswith("unix://")
    return Endpoint(
        address=one.address.removeprefix("unix://"),
        port=0 if is_socket else number,
        labels=workload.labels,
        locality=Locality.parse(one.locality),
        weight=workload.weight or 1,
        health=health,
        network=one.network,
        service_account=workload.service_account,
        tls_mode=workload.tls_mode,
        host=one.key.host,
        source=Provenance(None, 0, f"hosts/{one.key.host} workload {one.key.name}"),
    )


def _registered_port(one: RegisteredWorkload, port: ServicePort) -> int:
    """Where the workload takes what clients send to `port`; 0 when it does not serve that port.

    Its port of that number serves it, else the one that is the entry's target, else the one of that name.
    """
    ports = one.workload.ports
    for wanted in (port.number, port.target_port):
        for own in ports:
            if wanted and own.number == wanted:
                return own.target_port or own.number
    named = next((own for own in ports if own.name and own.name == port.name), None)
    return 0 if named is None else named.target_port or named.number


def _target(port: ServicePort) -> int:
    return port.target_port or port.number


def _is_static(address: str) -> bool:
    return address.startswith("unix://") or is_address(address)


def _withheld(model: WorkloadEntry) -> bool:
    """Whether health checks are asked for and no `Healthy` condition is true (Istio conversion.go)."""
    if model.metadata.annotations.get(_HEALTH_CHECKED) != "true":
        return False
    conditions = model.status.get("conditions") if isinstance(model.status, dict) else None
    return not any(
        isinstance(row, dict) and row.get("type") == "Healthy" and row.get("status") == "True"
        for row in (conditions if isinstance(conditions, list) else ())
    )
