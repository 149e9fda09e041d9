"""The balancer: for each destination its policy and its endpoints, as one workload context has them.

Decides nothing about health beyond what registrations say: ejections are laid over the endpoints by whoever
compiles them. Source: Istio pilot/pkg/networking/core/cluster_builder.go and
pilot/pkg/xds/endpoints/endpoint_builder.go.
"""

from __future__ import annotations

from typing import Protocol

from sidecar.balancing.hashing import hash_inputs
from sidecar.balancing.locality import (
    LocalitySetting,
    distribution,
    locality_setting,
    priorities,
)
from sidecar.balancing.model import ClusterPlan, EndpointSet, Policy
from sidecar.mesh.labels import includes
from sidecar.mesh.model import Context, Endpoint, HostName, Service
from sidecar.mesh.policies import MergedRule
from sidecar.routing.table import ClusterKey
from store.objects.mesh_config import MeshConfigSpec

__all__ = ["Balancer", "DestinationSight"]


class DestinationSight(Protocol):
    """What the balancer needs to see of the mesh; `sidecar.mesh.view.View` is the real thing."""

    @property
    def config(self) -> MeshConfigSpec:
        """Mesh-wide settings."""

    @property
    def context(self) -> Context:
        """The workload that sends."""

    def destination(self, host: HostName) -> Service | None:
        """The service that a route may name."""

    def endpoints(self, service: Service, port: int) -> tuple[Endpoint, ...]:
        """The endpoints of one port, sorted."""

    def rule(self, host: HostName) -> MergedRule:
        """The DestinationRules in force, merged."""

    def policy(self, host: HostName, port: int, subset: str) -> Policy:
        """The traffic policy in force."""


class Balancer:
    """Plans clusters and gathers endpoints for one context.

    Args:
        sight: The mesh as that context sees it.
    """

    def __init__(self, sight: DestinationSight) -> None:
        self._sight = sight

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        """Everything about a destination but its endpoints.

        None where there is no such service, no such port of it, or no rule defines the subset: Envoy then
        knows no cluster of that name and answers 503.
        """
        service = self._sight.destination(key.host)
        port = None if service is None else service.port(key.port)
        if service is None or port is None:
            return None
        rule = self._sight.rule(key.host)
        labels = _subset_labels(rule, key.subset)
        if labels is None:
            return None
        policy = self._sight.policy(key.host, key.port, key.subset)
        names_server = policy.tls is not None and bool(policy.tls.subject_alt_names)
        return ClusterPlan(
            key=key,
            resolution=service.resolution,
            port=port,
            policy=policy,
            subset_labels=labels,
            external=service.external,
            identity=self._sight.context.identity,
            automatic_tls=self._sight.config.enable_auto_mtls,
            subject_alt_names=() if names_server else service.subject_alt_names,
            hash_policies=hash_inputs(policy.load_balancer),
            sources=(service.source, *rule.sources),
            hosts=frozenset({key.host}),
        )

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        """The endpoints of a destination, ranked by locality; none where `plan` gives none."""
        service = self._sight.destination(key.host)
        labels = _subset_labels(self._sight.rule(key.host), key.subset)
        if service is None or labels is None:
            return EndpointSet(key, ())
        chosen = tuple(
            endpoint
            for endpoint in self._sight.endpoints(service, key.port)
            if includes(endpoint.labels, labels)
        )
        policy = self._sight.policy(key.host, key.port, key.subset)
        setting = locality_setting(policy.load_balancer, self._sight.config.locality_lb_setting)
        if setting is None:
            return EndpointSet(key, chosen)
        if setting.distribute:
            return self._distributed(key, chosen, setting)
        if policy.outlier_detection is None:
            return EndpointSet(key, chosen)
        return EndpointSet(key, chosen, priorities(chosen, self._sight.context, setting))

    def _distributed(
        self, key: ClusterKey, endpoints: tuple[Endpoint, ...], setting: LocalitySetting
    ) -> EndpointSet:
        """Only the localities that have a share; all of them alike where no entry is for this workload."""
        shares = distribution(endpoints, self._sight.context, setting)
        if shares is None:
            return EndpointSet(key, endpoints)
        weights = tuple(sorted((str(at), share) for at, share in shares.items()))
        return EndpointSet(
            key, tuple(e for e in endpoints if e.locality in shares), locality_weights=weights
        )


def _subset_labels(rule: MergedRule, subset: str) -> tuple[tuple[str, str], ...] | None:
    """Labels of a subset, sorted; none for the whole destination, None for one that is not defined."""
    if not subset:
        return ()
    found = rule.subsets.get(subset)
    return None if found is None else tuple(sorted(found[0].labels.items()))
