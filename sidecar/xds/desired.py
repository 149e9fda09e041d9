"""The desired state of this host's Envoy: everything that it should have, and increments towards it.

A change of the mesh touches virtual hosts, clusters and endpoints by the host names they were derived from; only those
are built again, and only bytes that differ are told. A mesh within the budget is loaded whole; beyond it Envoy gets a
virtual host when it first asks for one, with every cluster and endpoint that its routes name (docs/xds.md, 12d).
The listener is the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.balancing.balancer import Balancer
from sidecar.certificates.model import Material, SecretSource
from sidecar.mesh.model import MeshChange, Provenance
from sidecar.mesh.view import View
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.registration.record import OwnWorkload
from sidecar.routing.table import ClusterKey
from sidecar.telemetry.party import NOBODY, Party
from sidecar.xds.captured import Captured
from sidecar.xds.compile import (
    Bind,
    CompileOptions,
    InboundPort,
    alias_only,
    compile_black_hole,
    compile_original_destination,
    compile_passthrough,
)
from sidecar.xds.compile.capture import CaptureBind
from sidecar.xds.compile.tls import compile_secret
from sidecar.xds.compile.tracing import COLLECTOR, compile_collector
from sidecar.xds.destinations import BalancerLike, Destinations
from sidecar.xds.holdings import Holdings
from sidecar.xds.local import Local
from sidecar.xds.local_ejections import EjectedUntil
from sidecar.xds.outbound import Outbound
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from sidecar.xds.siblings import Siblings
from store.objects.mesh_config import MeshConfigSpec

__all__ = ["Builder", "BuilderSettings"]

BUDGET_SERVICES = 500
"""Services up to which a mesh is loaded whole: at Envoy each change then costs at most about 3 ms."""

UNKNOWN_HOSTS_MAX = 5_000
"""Authorities that nothing in the mesh names and that still get a virtual host (xds.md 12f)."""


@dataclass(frozen=True, slots=True)
class BuilderSettings:
    """What of this host's settings the desired state depends on."""

    outbound: Mapping[str, Bind]
    """Outbound listener of each workload context, by its name; contexts without one (pure gateways) are left out."""
    inbound: tuple[InboundPort, ...] = ()
    """Ports of local workloads."""
    members: tuple[OwnWorkload, ...] = ()
    """The workloads that this host registers, for zone-aware routing."""
    parties: Mapping[str, Party] = field(default_factory=dict)
    """The workload that each context speaks for, by the context's name."""
    options: CompileOptions = field(default_factory=CompileOptions)
    """Facts that the compilers write into resources."""
    budget_services: int = BUDGET_SERVICES
    """Services up to which a mesh is loaded whole; 0 loads everything on demand."""
    unknown_hosts_max: int = UNKNOWN_HOSTS_MAX
    """Cap on unknown authorities, for each context."""
    captured: Mapping[str, CaptureBind] = field(default_factory=dict)
    """Where redirected connections of each context arrive, by its name; empty where nothing is captured."""
    captured_inbound: CaptureBind | None = None
    """Where redirected connections to local workloads arrive; None where they are not captured."""


class Builder:
    """Keeps the full set of resources and derives increments. Not thread-safe.

    Args:
        settings: What of this host's settings matters here.
        balancer: Makes the balancer of a view.
    """

    def __init__(
        self,
        settings: BuilderSettings,
        balancer: Callable[[View], BalancerLike] = Balancer,
    ) -> None:
        self._settings = settings
        self._balancer = balancer
        self._holdings = Holdings()
        self._destinations = Destinations(self._holdings, settings.options)
        self._local = Local(
            settings.inbound, self._holdings, settings.options, settings.captured_inbound
        )
        self._siblings = Siblings(settings.members)
        self._contexts: dict[str, Outbound] = {}
        self._views: Mapping[str, View] = {}
        self._label = ""
        self._preloaded: set[str] = set()
        self._materials: dict[SecretSource, Material] = {}

    @property
    def resources(self) -> Mapping[TypeUrl, Mapping[str, Resource]]:
        """Everything that Envoy should have now."""
        return self._holdings.all()

    @property
    def unknown_hosts(self) -> int:
        """Authorities given that the mesh does not know, over all contexts."""
        return sum(context.unknown for context in self._contexts.values())

    @property
    def refused_hosts(self) -> int:
        """Questions for unknown authorities that were over the cap, ever."""
        return sum(context.refusals for context in self._contexts.values())

    @property
    def on_demand(self) -> frozenset[str]:
        """Contexts whose hosts are loaded on demand."""
        return frozenset(name for name, context in self._contexts.items() if context.on_demand)

    @property
    def secrets(self) -> frozenset[SecretSource]:
        """Secrets that any resource names."""
        return self._holdings.secrets

    def naming(self, secret: SecretSource) -> tuple[Provenance, ...]:
        """The objects that need a secret."""
        return self._holdings.naming(secret)

    def given_names(self) -> tuple[str, ...]:
        """Full names of the virtual hosts that were asked for: what to preload after a restart, sorted."""
        return tuple(
            sorted(name for context in self._contexts.values() for name in context.given())
        )

    def preload(self, names: Iterable[str]) -> None:
        """Have these virtual hosts, full names `<route config>/<authority>`, with the next update."""
        self._preloaded.update(names)

    def update(
        self,
        views: Mapping[str, View],
        change: MeshChange,
        label: str,
    ) -> DesiredChange:
        """Follow a change of the mesh.

        Args:
            views: What each context sees now, by its name.
            change: What is different from the views before; the first update takes everything.
            label: `<epoch>@<revision>` of the state that this leads to.
        """
        if not self._views:
            change = MeshChange(everything=True)
        self._views = views
        self._label = label
        self._destinations.touch(change)
        config = next(iter(views.values())).config
        if change.everything:
            self._holdings.put(compile_passthrough(config, self._settings.options))
            self._holdings.put(compile_black_hole())
            self._put_collector(config)
            if self._settings.captured or self._settings.captured_inbound:
                self._holdings.put(compile_original_destination(config))
        self._local.update(views, change)
        self._siblings.update(next(iter(views.values())), change)
        for name in sorted(views):
            self._context(name).update(views[name], change)
        self._have_preloaded()
        return self._tell(config)

    def impose(self, imposed: Mapping[EndpointName, Imposed]) -> DesiredChange:
        """Impose this on endpoints from now on, in the place of what was imposed before.

        Touches the endpoints of the destinations concerned, and never a cluster. Before the first update it is only
        noted.
        """
        self._destinations.impose(imposed)
        return self._retell()

    def local_port(self, number: str) -> InboundPort | None:
        """The registered port behind an inbound listener's number; None for one that a Sidecar opened."""
        return self._local.port(number)

    @property
    def siblings(self) -> str:
        """The file of the endpoints that send as this host does, see `sidecar.xds.siblings`."""
        return self._siblings.text

    def serve(
        self, ports: Iterable[InboundPort], members: Iterable[OwnWorkload] = ()
    ) -> DesiredChange:
        """Serve these ports and workloads from now on, in the place of those of the settings."""
        self._local.serve(ports)
        self._siblings.join(members)
        if self._views:
            everything = MeshChange(everything=True)
            self._local.update(self._views, everything)
            self._siblings.update(next(iter(self._views.values())), everything)
        return self._retell()

    def put_secrets(
        self,
        materials: Mapping[SecretSource, Material],
        broken: frozenset[SecretSource] = frozenset(),
    ) -> DesiredChange:
        """Have these secrets from now on, in the place of those before.

        A secret that was had and is not to be had any more stays with Envoy, which gives up none.

        Args:
            materials: Contents by secret.
            broken: Secrets whose files give nothing.
        """
        for source in self._materials.keys() - materials.keys():
            self._holdings.drop(TypeUrl.SECRET, source.name)
        for source, material in materials.items():
            if self._materials.get(source) != material:
                self._holdings.put(compile_secret(material))
        self._materials = dict(materials)
        self._destinations.know(frozenset(materials), broken)
        return self._retell()

    def ejected(self, ejected: EjectedUntil) -> None:
        """Note all that Envoy's own detector has ejected now: it is to outlive a change of its cluster."""
        self._destinations.local.seen(ejected)

    def forget_ejections(self) -> DesiredChange:
        """Envoy started anew and has ejected nothing: hold nothing of what the one before had ejected."""
        held = {cluster for cluster, _ in self._destinations.local.all_held()}
        self._destinations.local.forget_all()
        self._destinations.release(held)
        return self._retell()

    def release(self, now_s: float) -> DesiredChange:
        """Let go of ejections of changed clusters whose time is over."""
        self._destinations.release(self._destinations.local.expire(now_s))
        return self._retell()

    def release_due_s(self) -> float | None:
        """When `release` has something to do; None while no ejection is held."""
        return self._destinations.local.deadline()

    def held_ejections(self) -> frozenset[tuple[str, Place]]:
        """Envoy's own ejections that are held over a change of their cluster: (cluster, endpoint)."""
        return self._destinations.local.all_held()

    def clusters_of(self, destination: Destination) -> frozenset[ClusterKey]:
        """The clusters of a destination that Envoy has by now and that take their endpoints from us."""
        return self._destinations.clusters_of(destination)

    def take_touched(self) -> frozenset[Destination]:
        """Destinations whose clusters or endpoints may differ since this was last asked."""
        return self._destinations.take_touched()

    def _retell(self) -> DesiredChange:
        if not self._views:
            return DesiredChange(self._label)
        return self._tell(next(iter(self._views.values())).config)

    def ask(self, names: Iterable[str]) -> DesiredChange:
        """Have the virtual hosts that Envoy asked for, full names `<route config>/<authority>`.

        Every name is answered: with a virtual host, or with no body (404) where there is to be none. Before the
        first update names are only noted.
        """
        if not self._views:
            self.preload(names)
            return DesiredChange(self._label)
        wanted = sorted(set(names))
        refused = self._asked(wanted)
        change = self._tell(next(iter(self._views.values())).config)
        answers = {
            name: _refusal(name) if name in refused or found is None else found
            for name in wanted
            for found in (self._holdings.get(TypeUrl.VIRTUAL_HOST, name),)
        }
        upserts = {kind: dict(resources) for kind, resources in change.upserts.items()}
        upserts.setdefault(TypeUrl.VIRTUAL_HOST, {}).update(answers)
        return DesiredChange(change.label, upserts, change.removals)

    def _asked(self, names: Iterable[str]) -> set[str]:
        """Give what can be given; return the full names that get nothing."""
        refused: set[str] = set()
        by_route_config: dict[str, list[str]] = {}
        for name in names:
            route_config, _, authority = name.rpartition("/")
            by_route_config.setdefault(route_config, []).append(authority)
        owners = {
            route_config: name
            for name, context in self._contexts.items()
            for route_config in context.route_configs
        }
        for route_config, authorities in sorted(by_route_config.items()):
            owner = owners.get(route_config)
            missed: Iterable[str] = authorities
            if owner is not None:
                missed = self._contexts[owner].ask(self._views[owner], authorities)
            refused.update(f"{route_config}/{authority}" for authority in missed)
        return refused

    def _have_preloaded(self) -> None:
        if self._preloaded:
            self._asked(sorted(self._preloaded))
            self._preloaded.clear()

    def _tell(self, config: MeshConfigSpec) -> DesiredChange:
        balancers = {name: self._balancer(view) for name, view in self._views.items()}
        self._destinations.refresh(balancers, config)
        return self._holdings.tell(self._label)

    def _context(self, name: str) -> Outbound:
        if name not in self._contexts:
            settings = self._settings
            self._contexts[name] = Outbound(
                name,
                settings.outbound.get(name),
                self._holdings,
                self._destinations,
                settings.options,
                settings.parties.get(name, NOBODY),
                budget_services=settings.budget_services,
                unknown_max=settings.unknown_hosts_max,
            )
            if name in settings.captured:
                self._contexts[name].capture(self._capture(name, settings.captured[name]))
        return self._contexts[name]

    def _put_collector(self, config: MeshConfigSpec) -> None:
        tracing = self._settings.options.own_telemetry.over(config).tracing
        if tracing is not None:
            self._holdings.put(compile_collector(tracing, config.connect_timeout))
        else:
            self._holdings.drop(TypeUrl.CLUSTER, COLLECTOR)

    def _capture(self, name: str, bind: CaptureBind) -> Captured:
        return Captured(
            name,
            bind,
            self._holdings,
            self._destinations,
            alone=len(self._settings.captured) == 1,
        )


def _refusal(name: str) -> Resource:
    route_config, _, authority = name.rpartition("/")
    return alias_only(route_config, authority)
