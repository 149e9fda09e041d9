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
        self._users: dict[ClusterKey, dict[str, set[str]]] = {}
        self._dependencies: Dependencies[ClusterKey] = Dependencies()
        self._stale: set[ClusterKey] = set()
        self._health: dict[str, dict[tuple[str, int], Health]] = {}

    def use(self, user: tuple[str, str], keys: Iterable[ClusterKey]) -> None:
        """Say which destinations a user, (context, name), names from now on; none to forget it."""
        wanted = frozenset(keys)
        before = self._of_user.pop(user, frozenset())
        if wanted:
            self._of_user[user] = wanted
        context, name = user
        for key in wanted - before:
            contexts = self._users.setdefault(key, {})
            if context not in contexts:
                contexts[context] = set()
                self._stale.add(key)
            contexts[context].add(name)
        for key in before - wanted:
            contexts = self._users[key]
            contexts[context].discard(name)
            if not contexts[context]:
                del contexts[context]
                self._stale.add(key)
            if not contexts:
                del self._users[key]

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
            contexts = [key.context] if key.context else sorted(self._users.get(key, ()))
            if key in self._users:
                self._compile(key, [balancers[c] for c in contexts if c in balancers], config)
            else:
                self._drop(key)
        self._stale.clear()

    def _compile(
        self, key: ClusterKey, balancers: Iterable[BalancerLike], config: MeshConfigSpec
    ) -> None:
        """Compile a destination as the first context has it that names it and may use it."""
        plans = ((balancer, balancer.plan(key)) for balancer in balancers)
        balancer, plan = next(((b, p) for b, p in plans if p is not None), (None, None))
        if balancer is None or plan is None:
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
