"""The delta-ADS session with one Envoy: a pure machine that decides what is sent, when, and what it means.

`handle(event, now_s)` takes what happened and returns what to do; `deadline()` says when to call again with
`Tick`; `snapshot()` is for status. It owns the order over the types (make before break), the pairing of
clusters with their endpoints, the answer to refusals, and the moment at which a label is in force. It does not
know etcd, objects, or what is inside a resource.

Order for one change, on one stream:

    CDS add/change ─► EDS of those (always, M1) ─► [CDS ACK = all warm, or 2 s]
        ─► LDS + RDS + VHDS ─► [their ACKs + 1 s] ─► CDS removals
    EDS changes alone: at once

Source: Envoy xDS protocol ("Eventual consistency considerations"); docs/xds.md M1 to M14.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from sidecar.xds.events import (
    AskVirtualHosts,
    DeltaRequest,
    Desired,
    Effect,
    Event,
    InForce,
    ResourceRejected,
    SendResponse,
    SessionView,
    StreamClosed,
    StreamOpened,
    Tick,
)
from sidecar.xds.resource import DesiredChange, Resource, TypeUrl
from sidecar.xds.session_channel import Batch, Channel, Wait
from sidecar.xds.session_ledger import Ledger
from sidecar.xds.session_order import (
    REMOVAL_GRACE_S,
    SECOND,
    WARM_WAIT_S,
    Retry,
    gate,
    is_busy,
    send_deadlines,
    settled,
)
from sidecar.xds.session_view import Tally, rejected_of, told, view_of

__all__ = ["REMOVAL_GRACE_S", "WARM_WAIT_S", "Session"]

LABELS_MAX = 1024
"""Labels remembered while not in force; beyond it the oldest are forgotten (only the newest is told)."""

_TYPES = {str(type_url): type_url for type_url in TypeUrl}


class Session:
    """See the module's text. Not thread-safe; one per Envoy.

    Args:
        removal_grace_s: How long after Envoy took the routes a removed cluster stays.
    """

    def __init__(self, *, removal_grace_s: float = REMOVAL_GRACE_S) -> None:
        self._removal_grace_s = removal_grace_s
        self._ledgers = {type_url: Ledger() for type_url in TypeUrl}
        self._tally = {type_url: Tally() for type_url in TypeUrl}
        self._channels: dict[TypeUrl, Channel] = {}
        self._stream: int | None = None
        self._node_id = ""
        self._known = False
        self._label = ""
        self._in_force = ""
        self._seq = 0
        self._labels: deque[tuple[int, str]] = deque(maxlen=LABELS_MAX)
        self._nonces = 0
        self._told_asks: set[str] = set()
        self._routes_quiet_since_s: float | None = None
        self._owed_endpoints: set[str] = set()
        self._retry = Retry()
        self._now_s = 0.0
        self._out: list[Effect] = []

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event.

        Args:
            event: What happened.
            now_s: Monotonic seconds; never less than at the call before.

        Returns:
            What to do, in this order.
        """
        self._now_s = now_s
        match event:
            case StreamOpened():
                self._open(event.stream)
            case StreamClosed():
                if event.stream == self._stream:
                    self._close()
            case DeltaRequest():
                if event.stream == self._stream:
                    self._request(event, now_s)
            case Desired():
                self._desire(event.change, now_s)
            case Tick():
                pass
            case _:
                assert_never(event)
        self._advance(now_s)
        out, self._out = self._out, []
        return out

    def deadline(self) -> float | None:
        """When `Tick` is due if nothing else happens; None when only events can change anything."""
        if not self._known or self._stream is None:
            return None
        times = list(send_deadlines(self._channels))
        if self._retry.at_s is not None:
            times.append(self._retry.at_s)
        if (quiet := self._routes_quiet_since_s) is not None:
            leaving = self._channels[TypeUrl.CLUSTER].leaving
            if not self._refused_routes():
                times += [max(quiet, since) + self._removal_grace_s for since in leaving.values()]
        return min((time for time in times if time > self._now_s), default=None)

    @property
    def rejected(self) -> tuple[ResourceRejected, ...]:
        """What Envoy refuses now, by type and name."""
        return rejected_of(self._ledgers)

    def snapshot(self) -> SessionView:
        """Frozen view for status and tests."""
        return view_of(
            known=self._known,
            attached=self._stream is not None,
            node_id=self._node_id,
            label=self._label,
            in_force=self._in_force,
            settled=settled(self._channels, self._seq) >= self._seq,
            ledgers=self._ledgers,
            channels=self._channels,
            tally=self._tally,
        )

    # -- events ---------------------------------------------------------------------------------

    def _open(self, stream: int) -> None:
        self._close()
        self._retry = Retry()
        for ledger in self._ledgers.values():
            ledger.forgive()  # Another Envoy, perhaps: what was in the way may be gone.
        self._stream = stream
        self._channels = {
            type_url: Channel(type_url, self._ledgers[type_url]) for type_url in TypeUrl
        }
        if self._known:
            self._labels.append((self._seq, self._label))

    def _close(self) -> None:
        self._stream = None
        self._channels = {}
        self._told_asks.clear()
        self._owed_endpoints.clear()
        self._routes_quiet_since_s = None
        self._ledgers[TypeUrl.VIRTUAL_HOST].given_up.clear()

    def _desire(self, change: DesiredChange, now_s: float) -> None:
        if not self._known:
            self._known = True
            for waiting in self._channels.values():
                waiting.wait_from(now_s)
        self._seq += 1
        self._label = change.label
        self._labels.append((self._seq, change.label))
        for type_url in TypeUrl:
            upserts = change.upserts.get(type_url, {})
            removals = change.removals.get(type_url, frozenset())
            if not upserts and not removals:
                continue
            touched = self._ledgers[type_url].apply(upserts, removals)
            if (channel := self._channels.get(type_url)) is not None:
                channel.asks.difference_update(touched)
                channel.note(touched, self._seq, now_s)

    def _request(self, event: DeltaRequest, now_s: float) -> None:
        if event.node_id:
            self._node_id = event.node_id
        type_url = _TYPES.get(event.type_url)
        if type_url is None:
            self._refuse_type(event)
            return
        channel = self._channels[type_url]
        first = not channel.requested
        if event.nonce:
            self._answered(channel, event)
        channel.subscribe(event, self._seq, now_s)
        if first:
            self._supersede_labels()
        if type_url is TypeUrl.ENDPOINTS and first:
            self._repair_warming(channel, now_s)
        elif type_url is TypeUrl.VIRTUAL_HOST and first:
            self._mark(self._ledgers[TypeUrl.ROUTES].desired, now_s)
        elif type_url is TypeUrl.ROUTES and not first:
            self._resend_virtual_hosts(event.subscribe, now_s)

    def _supersede_labels(self) -> None:
        """Forget older states once a type is asked for: what is sent of it is of the newest, and not there yet.

        Else a state that came before Envoy did would be told to be in force as soon as Envoy asks for anything.
        """
        while self._labels and self._labels[0][0] < self._seq:
            self._labels.popleft()

    def _repair_warming(self, endpoints: Channel, now_s: float) -> None:
        """Send endpoints that Envoy claims to hold, where one of its clusters may wait for them.

        That is so for clusters sent a moment ago on this stream (M1), and for any cluster when Envoy asks for
        endpoints before clusters: then one is warming since the stream before (M3).
        """
        clusters = self._channels[TypeUrl.CLUSTER]
        names = endpoints.names & self._owed_endpoints if clusters.requested else endpoints.names
        endpoints.note(sorted(names), self._seq, now_s, force=True)
        self._owed_endpoints.clear()

    def _answered(self, channel: Channel, event: DeltaRequest) -> None:
        tally = self._tally[channel.type_url]
        if event.error is None:
            flight = channel.acknowledge(event.nonce)
            tally.acks += flight is not None
            clusters = self._channels[TypeUrl.CLUSTER]
            if flight is not None and channel.type_url is TypeUrl.ENDPOINTS:
                clusters.fed(flight)
            if channel.type_url in (TypeUrl.ENDPOINTS, TypeUrl.SECRET):
                clusters.note_warm(self._channels[TypeUrl.SECRET])
            return
        tally.nacks += event.nonce in channel.flights
        for rejection in channel.refuse(event.nonce, event.error):
            self._out.append(told(channel.type_url, rejection))
        self._retry.plan(self._ledgers[TypeUrl.LISTENER], self._now_s)

    def _retry_listeners(self, now_s: float) -> None:
        if self._retry.take(now_s):
            names = self._ledgers[TypeUrl.LISTENER].forgive()
            self._channels[TypeUrl.LISTENER].note(names, self._seq, now_s)

    def _refuse_type(self, event: DeltaRequest) -> None:
        if event.nonce or self._stream is None:
            return
        names = tuple(name for name in event.subscribe if name != "*")
        self._out.append(
            SendResponse(self._stream, event.type_url, self._nonce(), (), names, self._label)
        )

    def _mark(self, route_configurations: Iterable[str], now_s: float) -> None:
        """Owe each route configuration a reply about its virtual hosts, or its listener stalls (12b)."""
        markers = [f"{name}/-" for name in route_configurations]
        self._channels[TypeUrl.VIRTUAL_HOST].note(markers, self._seq, now_s, force=True)

    def _resend_virtual_hosts(self, route_configurations: tuple[str, ...], now_s: float) -> None:
        """A route configuration asked for anew has lost the virtual hosts that Envoy had for it."""
        channel = self._channels[TypeUrl.VIRTUAL_HOST]
        if not channel.requested or not route_configurations:
            return
        prefixes = tuple(f"{name}/" for name in route_configurations)
        desired = self._ledgers[TypeUrl.VIRTUAL_HOST].desired
        names = [name for name in desired if name.startswith(prefixes)]
        channel.note(names, self._seq, now_s, force=True)
        self._mark(route_configurations, now_s)

    # -- order ----------------------------------------------------------------------------------

    def _advance(self, now_s: float) -> None:
        if not self._known or self._stream is None:
            return
        self._retry_listeners(now_s)
        self._send_clusters(now_s)
        self._send_endpoints(now_s)
        self._send(TypeUrl.SECRET, now_s)
        for type_url in SECOND:
            self._send(type_url, now_s)
        self._send_cluster_removals(now_s)
        self._ask()
        self._tell_in_force()

    def _send_clusters(self, now_s: float) -> None:
        initial = self._channels[TypeUrl.CLUSTER].answer_due
        batch = self._send(TypeUrl.CLUSTER, now_s)
        endpoints = self._channels[TypeUrl.ENDPOINTS]
        for resource in batch.resources:
            name = resource.name
            if not endpoints.requested:
                self._owed_endpoints.add(name)
                continue
            known = name in self._ledgers[TypeUrl.ENDPOINTS].desired
            if known and (name in endpoints.names or not initial):
                endpoints.note((name,), self._seq, now_s, force=True)

    def _send_endpoints(self, now_s: float) -> None:
        clusters = self._channels[TypeUrl.CLUSTER]
        endpoints = self._channels[TypeUrl.ENDPOINTS]
        busy = is_busy(endpoints, now_s)

        def may_go(name: str, wait: Wait) -> bool:
            if name in endpoints.forced:
                return True
            unsent = name in clusters.pending and now_s < wait.since_s + WARM_WAIT_S
            return not busy and not unsent

        if endpoints.pending or endpoints.answer_due:
            self._respond(endpoints, endpoints.take(may_go), now_s)

    def _send(self, type_url: TypeUrl, now_s: float) -> Batch:
        """Send what may go of a type, unless its last response is still unanswered (and young)."""
        channel = self._channels[type_url]
        if not channel.requested or is_busy(channel, now_s):
            return Batch()
        if not channel.pending and not channel.answer_due:
            return Batch()
        may_go = gate(self._channels, type_url, self._seq, now_s)
        batch = channel.take(may_go)
        self._respond(channel, batch, now_s)
        return batch

    def _respond(self, channel: Channel, batch: Batch, now_s: float) -> None:
        if self._stream is None or not (batch or (channel.answer_due and not channel.pending)):
            return
        nonce = self._nonce()
        channel.sent(nonce, batch, now_s, self._nonces)
        self._tally[channel.type_url].resources_sent += len(batch.resources)
        resources = tuple(_with_alias(channel, resource) for resource in batch.resources)
        self._out.append(
            SendResponse(
                self._stream, channel.type_url, nonce, resources, batch.removed, self._label
            )
        )

    def _refused_routes(self) -> bool:
        """Whether something that names clusters is held at an older version, which may name others."""
        return any(self._ledgers[type_url].rejected for type_url in SECOND)

    def _send_cluster_removals(self, now_s: float) -> None:
        channels = [self._channels[type_url] for type_url in SECOND]
        if any(channel.pending or channel.flights for channel in channels):
            self._routes_quiet_since_s = None
            return
        quiet = self._routes_quiet_since_s
        if quiet is None:
            quiet = self._routes_quiet_since_s = now_s
        clusters = self._channels[TypeUrl.CLUSTER]
        if self._refused_routes():
            return
        due = sorted(
            name
            for name, since in clusters.leaving.items()
            if now_s >= max(quiet, since) + self._removal_grace_s
        )
        if due:
            self._respond(clusters, Batch((), tuple(due)), now_s)

    # -- what is told ---------------------------------------------------------------------------

    def _ask(self) -> None:
        new = self._channels[TypeUrl.VIRTUAL_HOST].asks - self._told_asks
        self._told_asks &= self._channels[TypeUrl.VIRTUAL_HOST].asks
        if new:
            self._told_asks |= new
            self._out.append(AskVirtualHosts(tuple(sorted(new))))

    def _tell_in_force(self) -> None:
        reached = settled(self._channels, self._seq)
        label: str | None = None
        while self._labels and self._labels[0][0] <= reached:
            label = self._labels.popleft()[1]
        if label is not None:
            self._in_force = label
            self._out.append(InForce(label))

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self._stream}.{self._nonces}"


def _with_alias(channel: Channel, resource: Resource) -> Resource:
    """A virtual host that was asked for must carry the name it was asked under as an alias (12a)."""
    asked = channel.type_url is TypeUrl.VIRTUAL_HOST and resource.name in channel.names
    if not asked or resource.name in resource.aliases:
        return resource
    return replace(resource, aliases=(*resource.aliases, resource.name))
