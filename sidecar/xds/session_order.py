"""Who waits for whom between the types of one stream, and for how long: make before break, in bounds.

Pure questions about channels; the session asks them and sends. Changes are numbered: "settled up to n" means
that Envoy has taken all changes up to number n.
Source: Envoy xDS protocol, "Eventual consistency considerations"; docs/xds.md, M2, M3 and sending order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sidecar.xds.resource import TypeUrl
from sidecar.xds.session_channel import Channel, Wait
from sidecar.xds.session_ledger import Ledger
from sidecar.xds.session_rivals import rivals

__all__ = [
    "ASKED_WAIT_S",
    "CLUSTER_WAIT_S",
    "REMOVAL_GRACE_S",
    "SECOND",
    "WARM_WAIT_S",
    "Retry",
    "cold_clusters",
    "gate",
    "is_busy",
    "route_wait_s",
    "send_deadlines",
    "settled",
    "settled_clusters",
]

WARM_WAIT_S = 2.0
"""How long routes wait for clusters to warm, and any type for the answer to its last response. Longer than a
healthy warming by far; short enough that one dead DNS name does not hold up the rest."""
ASKED_WAIT_S = 1.0
"""The same for virtual hosts that a request waits for: well within the 2 s after which it is given up (12g)."""
CLUSTER_WAIT_S = 0.05
"""How long the next clusters wait for the answer to the last. Answers come within milliseconds unless a cluster
warms, and then they may be withheld for 15 s (M2), which must not hold up others."""
REMOVAL_GRACE_S = 1.0
"""How long after Envoy took the routes a removed cluster stays: longer than requests in the middle of a pick."""
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 60.0
"""Pauses before a listener whose port was taken is offered again: the first, doubling up to the last. The first is
short because a listener that moves to another address of its port finds it taken by its predecessor for a moment."""
SECOND = (TypeUrl.LISTENER, TypeUrl.ROUTES, TypeUrl.VIRTUAL_HOST)
"""Types that name clusters, and therefore wait for them."""


def answer_wait_s(type_url: TypeUrl) -> float:
    """How long a type waits for the answer to its last response."""
    return CLUSTER_WAIT_S if type_url is TypeUrl.CLUSTER else WARM_WAIT_S


def route_wait_s(channel: Channel, name: str) -> float:
    """How long something that names clusters waits for them."""
    asked = channel.type_url is TypeUrl.VIRTUAL_HOST and name in channel.names
    return ASKED_WAIT_S if asked else WARM_WAIT_S


def is_busy(channel: Channel, now_s: float) -> bool:
    """Whether the type's last response is unanswered, and young enough to be waited for."""
    wait_s = answer_wait_s(channel.type_url)
    return any(now_s < flight.sent_at_s + wait_s for flight in channel.flights.values())


def settled_clusters(clusters: Channel, newest: int, now_s: float) -> int:
    """Number of the change up to which all clusters are warm, or have had long enough."""
    if not clusters.requested:
        return -1
    waiting = [wait.first for wait in clusters.pending.values()]
    young = (f for f in clusters.flights.values() if now_s < f.sent_at_s + WARM_WAIT_S)
    cold = [flight.first_cold for flight in young]
    return min([*waiting, *(first for first in cold if first is not None)], default=newest + 1) - 1


def cold_clusters(clusters: Channel, now_s: float) -> frozenset[str] | None:
    """Clusters that are unsent, or sent and not known to be warm nor given up; None when nobody knows."""
    if not clusters.requested:
        return None
    young = (f for f in clusters.flights.values() if now_s < f.sent_at_s + WARM_WAIT_S)
    return frozenset(clusters.pending).union(
        *(flight.waits.keys() - flight.warm for flight in young)
    )


def gate(
    channels: Mapping[TypeUrl, Channel], type_url: TypeUrl, newest: int, now_s: float
) -> Callable[[str, Wait], bool]:
    """Which waiting names of a type may go now.

    What names clusters goes when those are warm, or, where it does not say which, when all are; or when it
    has waited long enough. Virtual hosts between which a domain moves go together; nothing goes ahead of a removal
    that may be in its way. Other types go at once.
    """
    if type_url not in SECOND:
        return lambda _name, _wait: True
    channel, clusters = channels[type_url], channels[TypeUrl.CLUSTER]
    warm = settled_clusters(clusters, newest, now_s)
    cold = cold_clusters(clusters, now_s)
    together = rivals(channel)
    leaving = {_beside(type_url, name) for name in channel.pending if _is_leaving(channel, name)}

    def is_ready(name: str, wait: Wait) -> bool:
        return wait.last <= warm or now_s >= wait.since_s + route_wait_s(channel, name)

    def may_go(name: str, wait: Wait) -> bool:
        if group := together.get(name):
            return all(is_ready(one, channel.pending[one]) for one in group)
        if is_ready(name, wait):
            return True
        target = channel.ledger.target(name)
        if cold is None or target is None or target.needs is None:
            return False
        if name not in channel.names and _beside(type_url, name) in leaving:
            return False
        return cold.isdisjoint(target.needs)

    return may_go


def _is_leaving(channel: Channel, name: str) -> bool:
    """Whether Envoy has something of this name that it is not to have, and nobody knows what that is in the way of."""
    gone = name in channel.view and name not in channel.ledger.desired
    before = channel.ledger.given_up.get(name)
    return gone and (before is None or not before.domains)


def _beside(type_url: TypeUrl, name: str) -> str:
    """What a resource shares with those that it may be in the way of: a virtual host its route configuration."""
    return name.rpartition("/")[0] if type_url is TypeUrl.VIRTUAL_HOST else ""


def settled(channels: Mapping[TypeUrl, Channel], newest: int) -> int:
    """Number of the change up to which Envoy has acknowledged all; -1 while it has not asked for it."""
    needed = (TypeUrl.CLUSTER, TypeUrl.LISTENER)
    if not channels or any(not channels[type_url].requested for type_url in needed):
        return -1
    if _will_ask(channels):
        return -1
    oldest = (channel.oldest_change for channel in channels.values())
    return min((number for number in oldest if number is not None), default=newest + 1) - 1


def _will_ask(channels: Mapping[TypeUrl, Channel]) -> bool:
    """Whether Envoy has not yet asked for what it was told of: between its ACK and that request nothing waits.

    A listener names its route configuration, and that its virtual hosts. A refused one asks for nothing.
    """
    routes, hosts = channels[TypeUrl.ROUTES], channels[TypeUrl.VIRTUAL_HOST]
    if channels[TypeUrl.LISTENER].ledger.rejected:
        return False
    if not routes.wildcard and any(name not in routes.names for name in routes.ledger.desired):
        return True
    return bool(hosts.ledger.desired) and not hosts.requested and not routes.ledger.rejected


def send_deadlines(channels: Mapping[TypeUrl, Channel]) -> Iterable[float]:
    """Times at which something that waits may go although nothing was answered."""
    for channel in channels.values():
        if channel.pending:
            wait_s = answer_wait_s(channel.type_url)
            yield from (flight.sent_at_s + wait_s for flight in channel.flights.values())
    followers = [channels[type_url] for type_url in (*SECOND, TypeUrl.ENDPOINTS)]
    if any(channel.pending for channel in followers):
        clusters = channels[TypeUrl.CLUSTER]
        yield from (flight.sent_at_s + WARM_WAIT_S for flight in clusters.flights.values())
    for channel in followers:
        for name, wait in channel.pending.items():
            yield wait.since_s + route_wait_s(channel, name)


class Retry:
    """When listeners whose port was taken are offered again: the port may be free without a change of ours."""

    def __init__(self) -> None:
        self.at_s: float | None = None
        """When; None while none waits."""
        self._pause_s = RETRY_FIRST_S

    def plan(self, listeners: Ledger, now_s: float) -> None:
        """Set the time if a refusal is one that may go away, and none is set."""
        if self.at_s is None and any(one.is_conflict for one in listeners.rejected.values()):
            self.at_s = now_s + self._pause_s
            self._pause_s = min(RETRY_MAX_S, 2 * self._pause_s)

    def take(self, now_s: float) -> bool:
        """Whether it is time; then the time is taken away."""
        if self.at_s is None or now_s < self.at_s:
            return False
        self.at_s = None
        return True
