"""Destinations and endpoints as boxes, in the words of `meshd trace`: shares, policies, health, what is wrong.

A destination that is the same to several clients is one box; where policies or endpoints differ between them, each
gets its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshd.graph.model import COLUMNS, Kind, Node, State
from meshd.graph.words import short
from sidecar.balancing.balancer import Balancer
from sidecar.balancing.model import ClusterPlan, EndpointSet
from sidecar.mesh.model import Endpoint, Health, Resolution
from sidecar.mesh.view import View
from sidecar.routing.stops import mirror_steps, split_steps
from sidecar.routing.table import Cluster, ClusterKey, Forward, InboundKey, WeightedCluster
from sidecar.routing.trace import DestinationStep, EndpointStep

__all__ = ["Destination", "Destinations", "Ejected", "Way", "unreached", "ways_of"]

Ejected = Mapping[tuple[str, str], str]
"""(`host:port` of a destination, `address:port` of an endpoint) to what is said of its ejection."""

_STATES = {
    Health.HEALTHY.value: State.HEALTHY,
    Health.DRAINING.value: State.DRAINING,
    Health.UNHEALTHY.value: State.UNHEALTHY,
}


@dataclass(frozen=True, slots=True)
class Destination:
    """One destination: its box, and the boxes of its endpoints with the arrows' labels."""

    node: Node
    endpoints: tuple[tuple[str, Node], ...] = ()
    """(label of the arrow, box), those first that get no requests."""


@dataclass(frozen=True, slots=True)
class Way:
    """One arrow from a route to a destination."""

    label: str
    destination: Destination
    is_taken: bool = True


class Destinations:
    """The balancer of a view that looks at each destination once; `sidecar.routing.stops` asks it.

    Args:
        view: The mesh as the client sees it.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._balancer = Balancer(view)
        self._plans: dict[ClusterKey, ClusterPlan | None] = {}
        self._endpoints: dict[ClusterKey, EndpointSet] = {}

    def plan(self, key: ClusterKey) -> ClusterPlan | None:
        """As `Balancer.plan`."""
        if key not in self._plans:
            self._plans[key] = self._balancer.plan(key)
        return self._plans[key]

    def endpoints(self, key: ClusterKey) -> EndpointSet:
        """As `Balancer.endpoints`."""
        if key not in self._endpoints:
            self._endpoints[key] = self._balancer.endpoints(key)
        return self._endpoints[key]


def ways_of(forward: Forward, known: Destinations, ejected: Ejected) -> Iterator[Way]:
    """Where a route leads: each share of its split, then each mirror.

    Args:
        forward: What the route does.
        known: Destinations as the client sees them.
        ejected: What peers and the proxy have ejected, where anybody was asked.
    """
    shares = split_steps(known.view, forward, known)
    for target, step in zip(forward.clusters, shares, strict=True):
        edits = "".join(f", {edit}" for edit in step.edits)
        label = short(f"{step.percent:g} %{edits}")
        yield Way(label, _destination(target.cluster, step, known, ejected))
    copies = mirror_steps(known.view, forward, known)
    for mirror, step in zip(forward.mirrors, copies, strict=True):
        found = _destination(mirror.cluster, step, known, ejected)
        yield Way(f"{step.percent:g} % copied", found, is_taken=False)


def unreached(key: ClusterKey, known: Destinations, ejected: Ejected) -> Way:
    """A subset that no route leads to, and how it is shown."""
    forward = Forward((WeightedCluster(key),))
    step = split_steps(known.view, forward, known)[0]
    found = _destination(key, step, known, ejected, State.UNREACHED)
    return Way("no route drawn here", found, is_taken=False)


def _destination(
    cluster: ClusterKey | Cluster | InboundKey,
    step: DestinationStep,
    known: Destinations,
    ejected: Ejected,
    state: State = State.PLAIN,
) -> Destination:
    if not isinstance(cluster, ClusterKey):
        said = (step.policy,) if step.policy else ()
        title = _SPECIAL.get(step.cluster, step.cluster)
        return Destination(_node(Kind.PASSTHROUGH, step.cluster, title, said))
    plan = known.plan(cluster)
    kind = Kind.SUBSET if cluster.subset else Kind.SERVICE
    title = f"subset {cluster.subset} of" if cluster.subset else "service"
    if plan is not None and plan.external:
        kind = kind if cluster.subset else Kind.EXTERNAL
        title = f"{title} external" if cluster.subset else "external service"
    place = f"{cluster.host}:{cluster.port}"
    lines = tuple(short(line) for line in _lines(plan, step))
    is_broken = bool(step.problem) and state is State.PLAIN
    node = _node(
        kind, cluster.name, f"{title} {place}", lines, State.BROKEN if is_broken else state
    )
    found = known.endpoints(cluster).endpoints
    boxes = [
        (_way_in_words(one), _endpoint(place, one, endpoint, ejected))
        for one, endpoint in zip(step.endpoints, found, strict=True)
    ]
    boxes.sort(key=lambda pair: pair[1].state is State.HEALTHY)
    return Destination(node, tuple(boxes))


_SPECIAL = {
    Cluster.PASSTHROUGH.value: "passed through",
    Cluster.ORIGINAL_DESTINATION.value: "passed through",
    Cluster.BLACK_HOLE.value: "dropped",
}


def _lines(plan: ClusterPlan | None, step: DestinationStep) -> Iterator[str]:
    """What is particular to a destination: labels, policy, TLS, names, problem."""
    if plan is not None:
        if plan.subset_labels:
            yield ", ".join(f"{key}={value}" for key, value in plan.subset_labels)
        by = f" by {step.policy_origin}" if step.policy_origin.kind else ""
        yield f"{step.policy}{by}"
        if plan.policy.tls is not None and plan.policy.tls.mode is not None:
            yield f"TLS {plan.policy.tls.mode.value}"
        if plan.policy.outlier_detection is not None:
            yield "outlier detection"
        if plan.resolution not in (Resolution.STATIC, Resolution.NONE):
            yield f"addresses by {plan.resolution.value}"
        if plan.resolution is Resolution.NONE:
            yield "at the address that the request names"
    if step.problem:
        yield f"problem: {step.problem}"


def _way_in_words(step: EndpointStep) -> str:
    """What an endpoint is to this destination alone; most are like all others, and nothing is said."""
    words = [f"weight {step.weight}"] if step.weight != 1 else []
    if step.priority:
        words.append(f"priority {step.priority}")
    return ", ".join(words)


def _endpoint(place: str, step: EndpointStep, endpoint: Endpoint, ejected: Ejected) -> Node:
    """The box of an endpoint; what was ejected is so whatever its registration says."""
    words = ejected.get((place, step.address))
    state = State.EJECTED if words is not None else _STATES[step.health]
    lines = [", ".join(f"{key}={value}" for key, value in sorted(endpoint.labels.items()))]
    lines += [words or "", step.locality, f"on {endpoint.host}" if endpoint.host else ""]
    shown = tuple(short(line) for line in lines if line)
    return _node(Kind.ENDPOINT, f"{place} {step.address}", step.address, shown, state)


def _node(
    kind: Kind,
    name: str,
    title: str,
    lines: tuple[str, ...] = (),
    state: State = State.PLAIN,
) -> Node:
    prefix = "endpoint" if kind is Kind.ENDPOINT else "destination"
    return Node(f"{prefix} {name}", kind, COLUMNS[kind], short(title), lines, state)
