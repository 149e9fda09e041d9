"""Which destinations take part in shared ejection and are used by this host's Envoy, with their endpoints.

A destination takes part when its DestinationRule sets `outlierDetection`, or every one where the mesh's
`ejection.scope` is `all`; it is used when Envoy has a cluster of it (any subset, any context) whose endpoints come from
us. Kept up to date by what the builder touched, so that a change costs what it changed. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.balancing.balancer import Balancer
from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Endpoint, Health
from sidecar.mesh.view import View
from sidecar.outlier.model import Destination, DestinationFacts, EndpointFact, Place
from sidecar.outlier.policies import ejection_policy, takes_part
from sidecar.routing.table import ClusterKey
from store.objects.destination_rule import OutlierDetection

__all__ = ["ObservedCluster", "Participants", "generation_of"]

BASE_EJECTION_S = 30.0
MAX_EJECTION_S = 300.0
"""Envoy's own times where the rule gives none (outlier_detection.proto)."""


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """A cluster of Envoy whose outcomes are evidence."""

    destination: Destination
    """What its outcomes are counted for."""
    is_tcp: bool = False
    """Whether connections are counted instead of requests."""
    base_ejection_s: float = BASE_EJECTION_S
    """How long Envoy's own first ejection lasts."""
    max_ejection_s: float = MAX_EJECTION_S
    """How long the longest does."""


@dataclass(slots=True)
class Participants:
    """The destinations that take part, as of the last `refresh`."""

    facts: Mapping[Destination, DestinationFacts] = field(default_factory=dict)
    """Policy and endpoints."""
    clusters: Mapping[str, ObservedCluster] = field(default_factory=dict)
    """Clusters of Envoy by name."""
    _names: dict[Destination, frozenset[str]] = field(default_factory=dict)

    def refresh(
        self,
        touched: Mapping[Destination, Iterable[ClusterKey]],
        views: Mapping[str, View],
    ) -> bool:
        """Look at the touched destinations again; whether anything is different now.

        Args:
            touched: Destinations that may differ, with the clusters that Envoy has of them now.
            views: What each context sees, by its name.
        """
        facts, clusters = dict(self.facts), dict(self.clusters)
        for destination, keys in touched.items():
            for name in self._names.pop(destination, ()):
                del clusters[name]
            found = _look(destination, frozenset(keys), views)
            if found is None:
                facts.pop(destination, None)
                continue
            facts[destination], observed = found
            clusters.update(observed)
            self._names[destination] = frozenset(observed)
        is_different = facts != self.facts or clusters != self.clusters
        self.facts, self.clusters = facts, clusters
        return is_different


def _look(
    destination: Destination, keys: frozenset[ClusterKey], views: Mapping[str, View]
) -> tuple[DestinationFacts, dict[str, ObservedCluster]] | None:
    """What a destination is, as the first context has it that may use it; None when it takes no part."""
    if not keys:
        return None
    whole = ClusterKey(destination.host, destination.port)
    for name in sorted(views):
        view = views[name]
        balancer = Balancer(view)
        plan = balancer.plan(whole)
        if plan is None:
            continue
        detection = _detection(view, plan)
        settings = view.config.ejection
        if not takes_part(settings, detection):
            return None
        facts = DestinationFacts(
            policy=ejection_policy(settings, detection),
            endpoints=_endpoint_facts(balancer.endpoints(whole), view),
        )
        base_s = (detection and detection.base_ejection_time) or BASE_EJECTION_S
        observed = ObservedCluster(
            destination,
            is_tcp=not plan.port.protocol.is_http,
            base_ejection_s=base_s,
            max_ejection_s=max(base_s, MAX_EJECTION_S),
        )
        return facts, dict.fromkeys((key.name for key in keys), observed)
    return None


def _detection(view: View, plan: ClusterPlan) -> OutlierDetection | None:
    """The rule's detection for the whole destination, else that of its first subset that sets one."""
    if plan.policy.outlier_detection is not None:
        return plan.policy.outlier_detection
    host, port = plan.key.host, plan.key.port
    subsets = (view.policy(host, port, subset) for subset in sorted(view.rule(host).subsets))
    return next((one.outlier_detection for one in subsets if one.outlier_detection), None)


def _endpoint_facts(found: EndpointSet, view: View) -> tuple[EndpointFact, ...]:
    priorities = found.priorities or (0,) * len(found.endpoints)
    facts: dict[Place, EndpointFact] = {}
    for priority, endpoint in zip(priorities, found.endpoints, strict=True):
        place = Place(endpoint.address, endpoint.port)
        if place not in facts:
            facts[place] = EndpointFact(
                place=place,
                generation=generation_of(endpoint, _created(endpoint, view)),
                priority=priority,
                locality=endpoint.locality,
                takes_requests=endpoint.health is Health.HEALTHY,
                node=endpoint.host,
            )
    return tuple(facts[place] for place in sorted(facts))


def _created(endpoint: Endpoint, view: View) -> int:
    ref = endpoint.source.ref
    found = None if ref is None else view.mesh.objects.get(ref)
    return 0 if found is None else found.entry.create_revision


def generation_of(endpoint: Endpoint, create_revision: int) -> int:
    """Which workload an endpoint is, in 32 bits that are the same on every host and after its restart.

    A registered one is its host and workload (the source's path names both); one of an object is that object, the
    revision that created it, and the address. An address that another workload takes over is another one.
    """
    ref = endpoint.source.ref
    if endpoint.host:
        told = ("registered", endpoint.host, endpoint.source.path, endpoint.service_account)
    else:
        told = ("object", str(ref), str(create_revision), endpoint.address)
    digest = hashlib.blake2b("\0".join(told).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
