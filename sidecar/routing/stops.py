"""Where a traced request may stop: the destinations of a route, their endpoints, and what is wrong with them."""

from __future__ import annotations

from typing import Protocol

from sidecar.balancing.model import ClusterPlan, EndpointSet, Policy
from sidecar.balancing.transport import is_automatic, lacks_identity, transport
from sidecar.mesh.model import Endpoint, Health, Resolution
from sidecar.routing import wording
from sidecar.routing.destinations import doubt_about
from sidecar.routing.sight import Sight
from sidecar.routing.table import Cluster, ClusterKey, Forward, InboundKey, WeightedCluster
from sidecar.routing.trace import DestinationStep, EndpointStep, origin

__all__ = ["Destinations", "mirror_steps", "split_steps"]

_DEFAULT_BALANCING = "LEAST_REQUEST"
"""What an endpoint is chosen by where no DestinationRule says otherwise."""


class Destinations(Protocol):
    """What is asked about destinations; `sidecar.balancing.balancer.Balancer` answers it."""

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        """Everything about a destination but its endpoints; None where it does not exist."""

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        """Its endpoints, with their health as it is known here."""


def split_steps(
    sight: Sight, forward: Forward, destinations: Destinations
) -> tuple[DestinationStep, ...]:
    """Each share of a split, in the order of the rule."""
    whole = sum(cluster.weight for cluster in forward.clusters) or 1
    return tuple(
        _share(sight, cluster, round(100 * cluster.weight / whole, 4), destinations)
        for cluster in forward.clusters
    )


def mirror_steps(
    sight: Sight, forward: Forward, destinations: Destinations
) -> tuple[DestinationStep, ...]:
    """Each mirror with the share of requests that is copied to it."""
    return tuple(
        _share(
            sight,
            WeightedCluster(mirror.cluster),
            mirror.parts_per_million / 10_000,
            destinations,
        )
        for mirror in forward.mirrors
    )


def _share(
    sight: Sight, target: WeightedCluster, percent: float, destinations: Destinations
) -> DestinationStep:
    edits = wording.edits(target.edits)
    if target.authority:
        edits = (*edits, f"request: authority becomes {target.authority}")
    match target.cluster:
        case ClusterKey() as key:
            return _known(sight, key, (percent, edits), destinations)
        case Cluster() as special:
            said = "the address that the request names"
            return DestinationStep(special.value, percent, policy=said, edits=edits)
        case InboundKey() as own:
            return DestinationStep(own.name, percent, policy="the application", edits=edits)


def _known(
    sight: Sight,
    key: ClusterKey,
    share: tuple[float, tuple[str, ...]],
    destinations: Destinations,
) -> DestinationStep:
    """A destination that is a service, or should be."""
    plan = destinations.plan(key)
    if plan is None:
        problem = doubt_about(sight, key) or f"there is no cluster {key.name}: requests get 503"
        return DestinationStep(key.name, share[0], edits=share[1], problem=problem)
    found = destinations.endpoints(key)
    priorities = found.priorities or (0,) * len(found.endpoints)
    return DestinationStep(
        cluster=key.name,
        percent=share[0],
        policy="the address that the client named" if key.original else _balancing(plan.policy),
        policy_origin=origin(plan.policy.source),
        transport=transport(plan),
        edits=share[1],
        endpoints=tuple(
            _endpoint(endpoint, priority, secured=is_automatic(plan) and endpoint.carries_tls)
            for endpoint, priority in zip(found.endpoints, priorities, strict=True)
        ),
        problem=_problem(plan, found),
    )


def _balancing(policy: Policy) -> str:
    settings = policy.load_balancer
    if settings is not None and settings.consistent_hash is not None:
        return "consistent hash"
    if settings is not None and settings.simple is not None:
        return settings.simple.value
    return _DEFAULT_BALANCING


def _endpoint(endpoint: Endpoint, priority: int, *, secured: bool) -> EndpointStep:
    literal = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return EndpointStep(
        address=f"{literal}:{endpoint.port}" if endpoint.port else endpoint.address,
        health=endpoint.health.value,
        weight=endpoint.weight,
        priority=priority,
        locality=str(endpoint.locality),
        origin=origin(endpoint.source),
        secured=secured,
    )


def _problem(plan: ClusterPlan, found: EndpointSet) -> str:
    """What is wrong with a destination; one that takes the request's own address needs no endpoints."""
    if lacks_identity(plan):
        return (
            "a rule asks for mutual TLS, and this workload has no identity: requests to it get 503"
        )
    if plan.resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS):
        return ""
    if not found.endpoints:
        labels = ", ".join(f"{key}={value}" for key, value in plan.subset_labels)
        chosen = f" with labels {labels}" if labels else ""
        return f"it has no endpoints{chosen}: requests to it get 503"
    if all(endpoint.health is not Health.HEALTHY for endpoint in found.endpoints):
        return "none of its endpoints is healthy"
    return ""
