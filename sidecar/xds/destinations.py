"""Clusters and endpoints of the destinations that anything names, compiled when first named and kept up to date.

A destination that the mesh does not know (no such host, no such subset) has no cluster; Envoy answers 503 for it. It is
remembered, and gets its cluster as soon as the mesh has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Health, MeshChange
from sidecar.routing.table import ClusterKey
from sidecar.xds.compile import CompileOptions, compile_cluster, compile_endpoints, needs_endpoints
from sidecar.xds.dependencies import Dependencies
from sidecar.xds.holdings import Holdings
from sidecar.xds.resource import TypeUrl
from store.objects.mesh_config import MeshConfigSpec

__all__ = ["BalancerLike", "Destinations", "HealthByEndpoint"]

HealthByEndpoint = Mapping[tuple[str, str, int], Health]
"""(cluster, address, port) to health that is imposed on an endpoint: ejections decided elsewhere."""


class BalancerLike(Protocol):
    """What is needed of the balancer, declared by its consumer."""

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        """Everything about a destination but its endpoints; None when there is no such destination."""

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        """Its endpoints."""


class Destinations:
    """What each user (a virtual host, a listener) names, and the resources behind it.

    Args:
        holdings: Where resources are put.
        options: Facts about this host, for the compilers.
    """

    def __init__(self, holdings: Holdings, options: CompileOptions) -> None:
        self._holdings = holdings
        self._options = options
        self._of_user: dict[tuple[str, str], frozenset[ClusterKey]] = {}
        self._users: dict[ClusterKey, set[tuple[str, str]]] = {}
        self._dependencies: Dependencies[ClusterKey] = Dependencies()
        self._stale: set[ClusterKey] = set()
        self._health: dict[str, dict[tuple[str, int], Health]] = {}

    def use(self, user: tuple[str, str], keys: Iterable[ClusterKey]) -> None:
        """Say which destinations a user, (context, name), names from now on; none to forget it."""
        wanted = frozenset(keys)
        before = self._of_user.pop(user, frozenset())
        if wanted:
            self._of_user[user] = wanted
        for key in wanted - before:
            users = self._users.setdefault(key, set())
            if not users:
                self._stale.add(key)
            users.add(user)
        for key in before - wanted:
            self._users[key].discard(user)
            if not self._users[key]:
                del self._users[key]
                self._stale.add(key)

    def impose(self, health: HealthByEndpoint) -> None:
        """Impose health on endpoints from now on, in the place of all that was imposed before."""
        imposed: dict[str, dict[tuple[str, int], Health]] = {}
        for (cluster, address, port), state in health.items():
            imposed.setdefault(cluster, {})[address, port] = state
        differing = {
            name
            for name in imposed.keys() | self._health.keys()
            if imposed.get(name) != self._health.get(name)
        }
        self._health = imposed
        if differing:
            self._stale.update(key for key in self._users if key.name in differing)

    def touch(self, change: MeshChange) -> None:
        """Mark what a change of the mesh may make different."""
        self._stale |= self._dependencies.touched(change)

    def refresh(self, balancers: Mapping[str, BalancerLike], config: MeshConfigSpec) -> None:
        """Compile what is marked or newly named, drop what nobody names.

        Args:
            balancers: One for each workload context, by its name.
            config: Mesh-wide settings.
        """
        for key in sorted(self._stale):
            if key in self._users:
                self._compile(key, balancers[self._context(key, balancers)], config)
            else:
                self._drop(key)
        self._stale.clear()

    def _context(self, key: ClusterKey, balancers: Mapping[str, BalancerLike]) -> str:
        """The context whose view of the destination counts: its own, else the first that names it."""
        if key.context in balancers and key.context:
            return key.context
        return min(context for context, _ in self._users[key])

    def _compile(self, key: ClusterKey, balancer: BalancerLike, config: MeshConfigSpec) -> None:
        plan = balancer.plan(key)
        if plan is None:
            self._drop(key)
            self._dependencies.file(key, (key.host,))
            return
        self._dependencies.file(key, plan.hosts | {key.host})
        endpoints = balancer.endpoints(key)
        self._holdings.put(
            compile_cluster(plan, config, endpoints=endpoints, options=self._options)
        )
        if needs_endpoints(plan):
            self._holdings.put(compile_endpoints(endpoints, self._health.get(key.name)))
        else:
            self._holdings.drop(TypeUrl.ENDPOINTS, key.name)

    def _drop(self, key: ClusterKey) -> None:
        self._dependencies.forget(key)
        self._holdings.drop(TypeUrl.CLUSTER, key.name)
        self._holdings.drop(TypeUrl.ENDPOINTS, key.name)
