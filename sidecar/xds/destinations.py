"""Clusters and endpoints of the destinations that anything names, compiled when first named and kept up to date.

Over the endpoints of all clusters of a destination (all subsets, all contexts) lies what shared ejection imposes on it;
over those of a changed cluster what Envoy's own detector had ejected in it.

A destination that the mesh does not know (no such host, no such subset) has no cluster; Envoy answers 503 for it. It is
remembered, and gets its cluster as soon as the mesh has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import MeshChange
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, Place
from sidecar.routing.table import ClusterKey
from sidecar.xds.compile import CompileOptions, compile_cluster, compile_endpoints, needs_endpoints
from sidecar.xds.compile.sockets import is_always_secured
from sidecar.xds.dependencies import Dependencies
from sidecar.xds.holdings import Holdings
from sidecar.xds.local_ejections import LocalEjections
from sidecar.xds.resource import Resource, TypeUrl
from store.objects.mesh_config import MeshConfigSpec

__all__ = ["BalancerLike", "Destinations"]


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
        self._imposed: dict[Destination, dict[Place, Imposed]] = {}
        self._clusters: dict[Destination, set[ClusterKey]] = {}
        self._touched: set[Destination] = set()
        self._held_back: dict[ClusterKey, Resource] = {}
        self._held_secrets: frozenset[SecretSource] = frozenset()
        self._broken_secrets: frozenset[SecretSource] = frozenset()
        self.local = LocalEjections()
        """Envoy's own ejections."""

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

    def impose(self, imposed: Mapping[EndpointName, Imposed]) -> None:
        """Impose this on endpoints from now on, in the place of all that was imposed before."""
        wanted: dict[Destination, dict[Place, Imposed]] = {}
        for (destination, place), word in imposed.items():
            wanted.setdefault(destination, {})[place] = word
        for destination in wanted.keys() | self._imposed.keys():
            if wanted.get(destination) != self._imposed.get(destination):
                self._stale |= self._clusters.get(destination, set())
        self._imposed = wanted

    def know(self, held: frozenset[SecretSource], broken: frozenset[SecretSource]) -> None:
        """Which secrets files give, and which they cannot: see `_put_cluster`."""
        self._held_secrets, self._broken_secrets = held, broken
        self._stale |= self._held_back.keys()

    def release(self, clusters: Iterable[str]) -> None:
        """Endpoints of these clusters are held no longer, see `local`."""
        names = frozenset(clusters)
        if names:
            self._stale |= {key for key in self._users if key.name in names}

    def clusters_of(self, destination: Destination) -> frozenset[ClusterKey]:
        """The clusters of a destination that Envoy has by now and that take their endpoints from us."""
        return frozenset(self._clusters.get(destination, ()))

    def take_touched(self) -> frozenset[Destination]:
        """Destinations whose clusters or endpoints were compiled or dropped since this was last asked."""
        touched, self._touched = frozenset(self._touched), set()
        return touched

    def touch(self, change: MeshChange) -> None:
        """Mark what a change of the mesh may make different."""
        self._stale |= self._dependencies.touched(change.of_destinations())

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
        self._put_cluster(
            key, plan, compile_cluster(plan, config, endpoints=endpoints, options=self._options)
        )
        destination = Destination(key.host, key.port)
        self._touched.add(destination)
        if needs_endpoints(plan):
            self._clusters.setdefault(destination, set()).add(key)
            self._holdings.put(compile_endpoints(endpoints, self._overlay(key)))
        else:
            self._unfile(key)
            self._holdings.drop(TypeUrl.ENDPOINTS, key.name)

    def _put_cluster(self, key: ClusterKey, plan: ClusterPlan, made: Resource) -> None:
        """Put a cluster, unless it would cut off what works: one whose certificates are not to be had.

        The one before then stays, if it was secured as well; where it may be plain text nothing goes on in it.
        """
        before = self._held_back.pop(key, None) or self._holdings.get(TypeUrl.CLUSTER, made.name)
        missing = not made.secrets <= self._held_secrets
        if missing and before is not None and self._works(before):
            self._held_back[key] = before
            chosen = before if made.secrets & self._broken_secrets else made
            # Both are looked after as long as either may be what serves.
            named = before.secrets | made.secrets
            behind = dict.fromkeys((*before.sources, *made.sources))
            made = replace(chosen, secrets=named, sources=tuple(behind))
            before = self._holdings.get(TypeUrl.CLUSTER, made.name)
        if before is not None and before.version != made.version:
            self.local.changed(made.name, detects=plan.policy.outlier_detection is not None)
        self._holdings.put(made)

    def _works(self, cluster: Resource) -> bool:
        return (
            bool(cluster.secrets)
            and cluster.secrets <= self._held_secrets
            and is_always_secured(cluster)
        )

    def _overlay(self, key: ClusterKey) -> Mapping[Place, Imposed]:
        imposed = self._imposed.get(Destination(key.host, key.port), {})
        held = self.local.held(key.name)
        return {**imposed, **dict.fromkeys(held, Imposed.EJECTED)} if held else imposed

    def _drop(self, key: ClusterKey) -> None:
        self._held_back.pop(key, None)
        self._touched.add(Destination(key.host, key.port))
        self._unfile(key)
        self.local.forget(key.name)
        self._dependencies.forget(key)
        self._holdings.drop(TypeUrl.CLUSTER, key.name)
        self._holdings.drop(TypeUrl.ENDPOINTS, key.name)

    def _unfile(self, key: ClusterKey) -> None:
        destination = Destination(key.host, key.port)
        filed = self._clusters.get(destination, set())
        filed.discard(key)
        if not filed:
            self._clusters.pop(destination, None)
