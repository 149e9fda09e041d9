"""The mesh as one workload context sees it: visibility, Sidecar scope and order applied.

Every question costs its answer. A view belongs to one mesh and one context, and remembers what it was asked;
it is thrown away with its mesh. Two kinds of sight are kept apart, as Istio does: what a client may address
(`service`, limited by the Sidecar's imports) and what a route may name (`destination`, limited by `exportTo`
alone, since destinations of imported virtual services are imported with them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain

from sidecar.balancing.model import Policy
from sidecar.mesh.definitions import registered_service, service_of_entries
from sidecar.mesh.endpoints import entry_endpoints, registered_endpoints, united
from sidecar.mesh.facts import MESH_GATEWAY, GatewayFacts, ServiceEntryFacts, VirtualServiceFacts
from sidecar.mesh.labels import includes
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, Endpoint, HostName, Provenance, Service
from sidecar.mesh.names import aliases, is_address, meanings, normal, resolve, wildcards_over
from sidecar.mesh.policies import NO_RULE, MergedRule, combined_policy, merge_rules
from sidecar.mesh.references import GatewayRef, VirtualServiceRef
from sidecar.mesh.scopes import EVERYTHING, EgressListener, SidecarScope, scope_for, scope_of
from sidecar.mesh.services import Definition
from sidecar.mesh.virtual_addresses import VirtualAddresses, wants_address
from sidecar.mesh.visibility import export_list, seen_by
from store.objects.base import ObjectRef
from store.objects.gateway import Gateway
from store.objects.mesh_config import MeshConfigSpec
from store.objects.sidecar import OutboundTrafficPolicyMode, Sidecar

__all__ = ["View"]


class View:
    """What one workload context sees of one mesh.

    Args:
        mesh: The mesh.
        context: The workload on whose behalf is asked.
        contexts: How many contexts this host serves; with more than one, clusters whose policy
            may differ bear the context's name.
        is_apart: Whether those contexts show different certificates.
    """

    def __init__(
        self,
        mesh: Mesh,
        context: Context,
        contexts: int = 1,
        *,
        is_apart: bool = False,
        addresses: VirtualAddresses | None = None,
    ) -> None:
        self.mesh = mesh
        """The mesh."""
        self.context = context
        """The workload."""
        self._contexts = contexts
        self._is_apart = is_apart
        self._addresses = addresses
        self._services: dict[HostName, Service] = {}
        self._destinations: dict[HostName, Service] = {}
        self._rules: dict[HostName, MergedRule] = {}
        self._endpoints: dict[tuple[str, HostName, int], tuple[Endpoint, ...]] = {}

    @property
    def config(self) -> MeshConfigSpec:
        """Mesh-wide settings."""
        return self.mesh.config

    @property
    def outbound_policy(self) -> str:
        """What happens to unknown hosts: `ALLOW_ANY` or `REGISTRY_ONLY`."""
        spec = self.sidecar_scope.spec
        if spec is None or spec.outbound_traffic_policy is None:
            return self.config.outbound_traffic_policy.mode.value
        mode = spec.outbound_traffic_policy.mode or OutboundTrafficPolicyMode.REGISTRY_ONLY
        return mode.value

    @cached_property
    def sidecar_scope(self) -> SidecarScope:
        """The Sidecar that applies and what it imports."""
        facts = scope_for(self.context, self.mesh.sidecars, self.config.root_namespace)
        if facts is None:
            return EVERYTHING
        model = self.mesh.objects[facts.ref].model
        assert isinstance(model, Sidecar), f"{facts.ref} is a {type(model).__name__}"
        return scope_of(facts, model.spec, self.context, self.config.domain)

    # Names

    def resolve_host(self, name: str, namespace: str) -> HostName:
        """The full name of a host that an object of `namespace` mentions."""
        return resolve(name, namespace, self.config.domain)

    def aliases(self, service: Service) -> tuple[str, ...]:
        """The names by which this context may address a service: full first, short ones, addresses."""
        names = aliases(service.host, service.namespace, self.config.domain, self.context.namespace)
        return (*names, *(address for address in service.addresses if is_address(address)))

    def authority_hosts(self, name: str) -> tuple[HostName, ...]:
        """Every full host name that this context may mean by an authority (without port).

        What is derived for the authority depends on all of them, those too that do not exist yet.
        """
        return meanings(name, self.config.domain, self.context.namespace)

    # Services

    def service(self, host: HostName) -> Service | None:
        """The service of exactly this full name (which may be a wildcard) that this context may address."""
        return self._remembered(host, self._services, self.sidecar_scope)

    def destination(self, host: HostName) -> Service | None:
        """The service of exactly this full name that a route may name: not limited by Sidecar imports."""
        found = self.service(host)
        if found is not None or self.sidecar_scope.is_everything:
            return found
        return self._remembered(host, self._destinations, EVERYTHING)

    def service_for_authority(self, name: str) -> Service | None:
        """The service that this context means by a host name, alias or virtual address (no port).

        A name of a service wins over an alias of another, and both win over a wildcard service.
        """
        authority = normal(name)
        for host in self.authority_hosts(authority):
            found = self.service(host)
            if found is not None and (host == authority or authority in self.aliases(found)):
                return found
        if is_address(authority):
            found_at = self.services_at(authority.removeprefix("[").removesuffix("]"))
            return next(iter(found_at), None)
        wider = (self.service(host) for host in wildcards_over(authority))
        return next((service for service in wider if service is not None), None)

    def services(self) -> Iterator[Service]:
        """Every service that this context may address, in order of creation, then host."""
        found = (self.service(host) for host in self.sidecar_scope.hosts(self.mesh.services))
        visible = [service for service in found if service is not None]
        yield from sorted(visible, key=_age)

    def hosts(self) -> Iterator[HostName]:
        """Every host that this context may address a service of, perhaps more: nothing is built."""
        yield from self.sidecar_scope.hosts(self.mesh.services)

    def plain_http(self, host: HostName) -> ServiceEntryFacts | None:
        """The one ServiceEntry that alone makes the service of a host, where it speaks HTTP and nothing else.

        None for all others, those that this context may not address too: they are to be looked at themselves. Nothing
        is built or judged: who acts on it asks first whether it serves (`Mesh.serves`).
        """
        namespaces = list(self.mesh.services.namespaces_of(host))
        if len(namespaces) != 1 or not self.sidecar_scope.has_service(host, namespaces[0]):
            return None
        definition = self.mesh.services.definition(namespaces[0], host)
        if definition is None or len(definition.workloads) or len(definition.entries) != 1:
            return None
        facts = definition.entries[0]
        if facts.http_ports is None or not seen_by(facts.export_to, self.context.namespace):
            return None
        return facts

    def service_count(self) -> int:
        """How many services there are at most in sight: for budgets, without building any."""
        if self.sidecar_scope.is_everything:
            return len(self.mesh.services.namespaces)
        return sum(1 for _ in self.sidecar_scope.hosts(self.mesh.services))

    def listener_services(self, listener: EgressListener) -> Iterator[Service]:
        """The services that one egress listener of this context's Sidecar imports, in order of creation."""
        for service in self.services():
            if listener.imports.has_service(service.host, service.namespace):
                yield service

    def _remembered(
        self, host: HostName, memory: dict[HostName, Service], scope: SidecarScope
    ) -> Service | None:
        """What is found is kept, what is not is forgotten: made-up names must not grow anything."""
        found = memory.get(host)
        if found is None:
            found = self._find(host, scope)
            if found is not None:
                if self._addresses is not None and wants_address(found):
                    found = replace(found, addresses=self._addresses.of(host))
                memory[host] = found
        return found

    def _find(self, host: HostName, scope: SidecarScope) -> Service | None:
        """Own namespace first, then the one that the host name says, then the oldest."""
        candidates = [
            service
            for namespace in self.mesh.services.namespaces_of(host)
            if scope.has_service(host, namespace)
            and (service := self._service_in(namespace, host)) is not None
        ]
        return min(candidates, key=self._rank, default=None)

    def _rank(self, service: Service) -> tuple[bool, bool, bool, int, str]:
        home = service.host.endswith(f".{service.namespace}.svc.{self.config.domain}")
        is_registered = service.source.ref is None
        return (
            service.namespace != self.context.namespace,
            not home,
            is_registered,
            service.create_revision,
            service.namespace,
        )

    def _service_in(self, namespace: str, host: HostName) -> Service | None:
        definition = self.mesh.services.definition(namespace, host)
        if definition is None:
            return None
        entries = self._visible(definition)
        if entries:
            return service_of_entries(host, entries, self.mesh.objects)
        exported = export_list(None, self.config.default_service_export_to, namespace)
        if not len(definition.workloads) or not seen_by(exported, self.context.namespace):
            return None
        return registered_service(host, namespace, definition.workloads.values(), exported)

    def _visible(self, definition: Definition) -> tuple[ServiceEntryFacts, ...]:
        client = self.context.namespace
        return tuple(
            facts
            for facts in definition.entries
            if seen_by(facts.export_to, client) and self.mesh.serves(facts)
        )

    def services_at(self, address: str) -> tuple[Service, ...]:
        """The services that have a virtual address (without brackets), in order of creation, then host."""
        entries = self.mesh.services.by_address.get(address)
        hosts = dict.fromkeys(host for facts in entries for host in facts.hosts)
        own = None if self._addresses is None else self._addresses.name_at(address)
        if own is not None:
            hosts[own] = None
        found = (self.service(host) for host in hosts)
        having = (one for one in found if one is not None and address in one.addresses)
        return tuple(sorted(having, key=_age))

    # Endpoints and policies

    def endpoints(self, service: Service, port: int) -> tuple[Endpoint, ...]:
        """The endpoints of one port of a service, sorted by locality, address and port."""
        place = (service.namespace, service.host, port)
        if place not in self._endpoints:
            self._endpoints[place] = self._found_endpoints(service, port)
        return self._endpoints[place]

    def _found_endpoints(self, service: Service, port: int) -> tuple[Endpoint, ...]:
        definition = self.mesh.services.definition(service.namespace, service.host)
        declared = service.port(port)
        if definition is None or declared is None:
            return ()
        registered = registered_endpoints(
            (one for _, one in sorted(definition.workloads.items())), declared
        )
        of_entries = (
            entry_endpoints(facts, service.host, port, self.mesh.services, self.mesh.objects)
            for facts in self._visible(definition)
        )
        return united(chain(registered, *of_entries))

    def rule(self, host: HostName) -> MergedRule:
        """The DestinationRules in force for a destination, merged."""
        if host in self._rules:
            return self._rules[host]
        service = self.destination(host)
        facts = self.mesh.destination_rules.rules(
            host,
            "" if service is None else service.namespace,
            self.context.namespace,
            self.context.labels,
            self.config.root_namespace,
            self.mesh.serves,
        )
        if not facts:
            return NO_RULE
        self._rules[host] = merge_rules(facts, self.mesh.objects)
        return self._rules[host]

    def policy(self, host: HostName, port: int, subset: str) -> Policy:
        """The traffic policy in force for one destination."""
        return combined_policy(self.rule(host), port, subset)

    def subset_labels(self, host: HostName, subset: str) -> Mapping[str, str] | None:
        """Labels that a subset selects endpoints by; None when no DestinationRule defines it."""
        found = self.rule(host).subsets.get(subset)
        return None if found is None else found[0].labels

    def subsets(self, host: HostName) -> tuple[str, ...]:
        """Names of the subsets that DestinationRules define for a host, sorted."""
        return tuple(sorted(self.rule(host).subsets))

    def context_tag(self, host: HostName) -> str:
        """The context's name where the destination's policy may differ between contexts, else empty.

        Only a host that serves several contexts needs it, and there only for destinations that a
        DestinationRule speaks for or that several namespaces define: both may depend on the client. What this context
        may not address bears its name as well: another context's cluster of the same destination is not its to use.
        Where contexts have identities of their own and mutual TLS is taken by itself, that is every destination.
        """
        if self._contexts < 2 or not self.context.name:
            return ""
        if self._is_apart and self.config.enable_auto_mtls:
            return self.context.name
        may_differ = self.rule(host).sources or len(self.mesh.services.namespaces_of(host)) > 1
        return self.context.name if may_differ or self.destination(host) is None else ""

    # Virtual services and gateways

    def virtual_services_for(
        self, host: HostName, gateway: str = MESH_GATEWAY
    ) -> tuple[VirtualServiceRef, ...]:
        """The VirtualServices of the most specific virtual service host that covers `host`, in Istio's order."""
        scope = EVERYTHING if gateway != MESH_GATEWAY else self.sidecar_scope
        found = self.mesh.virtual_services.for_host(
            host,
            gateway,
            self.context.namespace,
            lambda facts: (
                scope.has_virtual_service(facts.hosts, facts.ref.namespace)
                and self.mesh.serves(facts)
            ),
        )
        return tuple(self._reference(facts) for facts in found)

    def virtual_service_hosts(self, gateway: str = MESH_GATEWAY) -> Iterator[HostName]:
        """Every host, exact or wildcard, that a VirtualService of this gateway names, sorted."""
        index = self.mesh.virtual_services
        hosts = sorted(index.hosts(gateway, self.context.namespace, self.mesh.serves))
        if gateway != MESH_GATEWAY or self.sidecar_scope.is_everything:
            yield from hosts
            return
        for host in hosts:
            if any(host in one.hosts for one in self.virtual_services_for(host)):
                yield host

    def virtual_services_of(self, gateway: str) -> tuple[VirtualServiceRef, ...]:
        """Every VirtualService bound to a Gateway (`<namespace>/<name>`), in Istio's order."""
        found = self.mesh.virtual_services.bound_to(gateway, self.context.namespace)
        return tuple(self._reference(facts) for facts in found if self.mesh.serves(facts))

    def delegate(self, ref: ObjectRef, root_namespace: str) -> VirtualServiceRef | None:
        """The delegate `ref` of a VirtualService of `root_namespace`.

        None where it does not exist, has hosts of its own, or is not exported to that namespace.
        """
        facts = self.mesh.virtual_services.delegates.get(ref)
        if (
            facts is None
            or not seen_by(facts.export_to, root_namespace)
            or not self.mesh.serves(facts)
        ):
            return None
        return self._reference(facts)

    def gateways(self) -> tuple[GatewayRef, ...]:
        """The Gateways that this context opens, oldest first; none unless it is in gateway role."""
        if not self.context.is_gateway:
            return ()
        chosen = [
            facts
            for facts in self.mesh.gateways.values()
            if includes(self.context.labels, facts.selector)
        ]
        return tuple(self._gateway(facts) for facts in sorted(chosen, key=_age_of_gateway))

    def provenance(self, ref: ObjectRef, path: str = "") -> Provenance:
        """Where a place in an object in force comes from."""
        found = self.mesh.objects.get(ref)
        return Provenance(ref, 0 if found is None else found.entry.version, path)

    def _reference(self, facts: VirtualServiceFacts) -> VirtualServiceRef:
        return VirtualServiceRef(facts, self.mesh.objects[facts.ref])

    def _gateway(self, facts: GatewayFacts) -> GatewayRef:
        model = self.mesh.objects[facts.ref].model
        assert isinstance(model, Gateway), f"{facts.ref} is a {type(model).__name__}"
        return GatewayRef(facts.ref, facts.generation, facts.create_revision, model)


def _age(service: Service) -> tuple[int, str]:
    return (service.create_revision, service.host)


def _age_of_gateway(facts: GatewayFacts) -> tuple[int, str, str]:
    return (facts.create_revision, facts.ref.name, facts.ref.namespace)
