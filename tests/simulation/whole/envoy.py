"""A model of one Envoy: a delta-ADS client that keeps what it has in force, and answers requests by it.

Behaves as `docs/xds.md` measured (M1 to M13): clusters warm until their endpoints come and withhold their ACK, changed
clusters serve as they were until then, removals of endpoints and routes are ignored, a bad virtual host refuses its
whole response and names nobody, a new stream claims what is held. Words take time on their way, in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.xds.events import DeltaRequest, Event, SendResponse, StreamClosed, StreamOpened
from sidecar.xds.resource import Resource, TypeUrl
from tests.simulation.whole.messages import Answer, Spot, answer_of, has_endpoints_from_us, spots_of
from tests.simulation.world import World as Clock

__all__ = ["POISON", "Envoy", "Probe", "Server"]

CDS, EDS, LDS, RDS, VHDS = (
    TypeUrl.CLUSTER,
    TypeUrl.ENDPOINTS,
    TypeUrl.LISTENER,
    TypeUrl.ROUTES,
    TypeUrl.VIRTUAL_HOST,
)
POISON = b"envoy-refuses-this"
"""A virtual host that holds this is refused."""
LISTENER = "outbound"
WAY_S = (0.0002, 0.002)
NOTHING = Answer("", "", "")
RETRY_S = (0.1, 1.0)
"""Between two tries to connect: the back-off of our bootstrap."""


class Server(Protocol):
    """The sidecar's side of the ADS socket."""

    def is_listening(self) -> bool:
        """Whether a connection would be taken."""

    def ads_heard(self, event: Event) -> None:
        """Envoy says something."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of a request."""

    outcome: str
    """`served`; or why not: `no route`, `no cluster`, `no endpoints`."""
    answer: Answer = NOTHING
    spots: tuple[Spot, ...] = ()


@dataclass
class _Held:
    version: str
    body: bytes


@dataclass
class _Stream:
    number: int
    server: Server
    to_server_s: float = 0.0
    to_envoy_s: float = 0.0
    asked: set[TypeUrl] = field(default_factory=set)


class Envoy:
    """One process of Envoy.

    Args:
        clock: The time.
        rng: Of its delays.
        applied: Called whenever something of what is in force may be different.
    """

    def __init__(self, clock: Clock, rng: random.Random, applied: Callable[[], None]) -> None:
        self._clock, self._rng, self._applied = clock, rng, applied
        self.runs = True
        self.held: dict[TypeUrl, dict[str, _Held]] = {kind: {} for kind in TypeUrl}
        """What it claims to hold: clusters that warm, too."""
        self.active: dict[str, _Held] = {}
        """Clusters in force."""
        self.warming: dict[str, float] = {}
        """Clusters that wait for endpoints, since when."""
        self.watched: set[str] = set()
        self.refused = 0
        self.was_served = False
        """Whether it ever answered the pair of routes."""
        self.cleared: Callable[[str], None] = lambda cluster: None
        """Told when a cluster was made anew: its ejections are forgotten."""
        self._still_until_s = 0.0
        self._socket: list[tuple[_Stream, SendResponse]] = []
        """What came while it stood still."""
        self._withheld: list[tuple[_Stream, SendResponse]] = []
        self._stream: _Stream | None = None
        self._server: Server | None = None
        self._streams = 0

    # -- life -----------------------------------------------------------------------------------

    def serve(self, server: Server, first_stream: int) -> None:
        """This is whom the socket leads to from now on; streams of a process have numbers of their own."""
        self._server, self._streams = server, first_stream
        self.disconnected()

    def end(self) -> None:
        """The process ends."""
        self.runs = False
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._say(stream, StreamClosed(stream.number))

    def stand_still(self, for_s: float) -> None:
        """Do nothing for a while: what is sent to it waits, and comes all at once."""
        self._still_until_s = max(self._still_until_s, self._clock.now_s + for_s)
        self._clock.at(self._still_until_s, lambda: None if self.is_still() else self.go_on())

    def is_still(self) -> bool:
        """Whether it stands still now."""
        return self._clock.now_s < self._still_until_s

    def go_on(self) -> None:
        """Stand still no longer."""
        self._still_until_s = 0.0
        waiting, self._socket = self._socket, []
        for stream, response in waiting:
            self._take(stream, response)

    def disconnected(self) -> None:
        """The server is gone, or another: try again."""
        self._stream = None
        self._withheld.clear()
        self._clock.at(self._clock.now_s + self._rng.uniform(*RETRY_S), self._connect)

    def _connect(self) -> None:
        if not self.runs or self._stream is not None or self._server is None:
            return
        if self.is_still() or not self._server.is_listening():
            self._clock.at(self._clock.now_s + self._rng.uniform(*RETRY_S), self._connect)
            return
        self._streams += 1
        stream = self._stream = _Stream(self._streams, self._server)
        self._say(stream, StreamOpened(stream.number))
        if not self.warming:
            self._first(stream, CDS)
        if self.watched:
            self._first(stream, EDS, tuple(sorted(self.watched)))
        self._first(stream, LDS)
        if LISTENER in self.held[LDS]:
            self._first(stream, RDS, (LISTENER,))
        if LISTENER in self.held[RDS]:
            self._first(stream, VHDS)

    # -- words ----------------------------------------------------------------------------------

    def _first(self, stream: _Stream, kind: TypeUrl, subscribe: tuple[str, ...] = ()) -> None:
        stream.asked.add(kind)
        versions = {name: held.version for name, held in self.held[kind].items()}
        request = DeltaRequest(
            stream.number, kind, subscribe=subscribe, initial_versions=versions, node_id="envoy"
        )
        self._say(stream, request)

    def _say(self, stream: _Stream, event: Event) -> None:
        at_s = max(stream.to_server_s, self._clock.now_s + self._rng.uniform(*WAY_S))
        stream.to_server_s = at_s
        self._clock.at(at_s, lambda: stream.server.ads_heard(event))

    def hear(self, response: SendResponse) -> None:
        """The sidecar sends; it arrives a little later, in order."""
        stream = self._stream
        if stream is None or response.stream != stream.number:
            return
        at_s = max(stream.to_envoy_s, self._clock.now_s + self._rng.uniform(*WAY_S))
        stream.to_envoy_s = at_s
        self._clock.at(at_s, lambda: self._take(stream, response))

    def _take(self, stream: _Stream, response: SendResponse) -> None:
        if stream is not self._stream or not self.runs:
            return
        if self.is_still():
            self._socket.append((stream, response))
            return
        names = [one.name for one in response.resources]
        assert len(set(names)) == len(names), f"one name twice in a response: {names} (M7)"
        kind = TypeUrl(response.type_url)
        if kind is VHDS and any(POISON in one.body for one in response.resources):
            self.refused += 1
            self._reply(stream, response, "Proto constraint validation failed")
            return
        self._apply(stream, kind, response)
        if kind is CDS and self.warming:
            self._withheld.append((stream, response))
        else:
            self._reply(stream, response)
        if kind is EDS and not self.warming:
            self._release(stream)
        self._ask_more(stream)
        self._applied()

    def _reply(self, stream: _Stream, response: SendResponse, error: str | None = None) -> None:
        request = DeltaRequest(stream.number, response.type_url, nonce=response.nonce, error=error)
        self._say(stream, request)

    def _release(self, stream: _Stream) -> None:
        withheld, self._withheld = self._withheld, []
        for of, response in withheld:
            if of is stream:
                self._reply(stream, response)
        if CDS not in stream.asked:
            self._first(stream, CDS)

    def _ask_more(self, stream: _Stream) -> None:
        if LISTENER in self.held[LDS] and RDS not in stream.asked:
            self._first(stream, RDS, (LISTENER,))
        if LISTENER in self.held[RDS] and VHDS not in stream.asked:
            self._first(stream, VHDS)

    # -- what is held ---------------------------------------------------------------------------

    def _apply(self, stream: _Stream, kind: TypeUrl, response: SendResponse) -> None:
        if kind is CDS:
            self._apply_clusters(stream, response.resources, response.removed)
            return
        held = self.held[kind]
        for one in response.resources:
            if kind is EDS:
                if one.name not in self.watched:
                    continue
                held[one.name] = _Held(one.version, one.body)
                self._warm(one.name)
            elif kind is not VHDS or LISTENER in self.held[RDS]:
                held[one.name] = _Held(one.version, one.body)
        if kind in (LDS, VHDS):
            for name in response.removed:
                held.pop(name, None)

    def _apply_clusters(
        self, stream: _Stream, resources: Iterable[Resource], removed: Iterable[str]
    ) -> None:
        held = self.held[CDS]
        new: list[str] = []
        for one in resources:
            before = held.get(one.name)
            if before is not None and before.version == one.version:
                continue
            held[one.name] = _Held(one.version, one.body)
            if not has_endpoints_from_us(one.body):
                self.active[one.name] = held[one.name]
                continue
            self.warming[one.name] = self._clock.now_s
            if one.name not in self.watched:
                self.watched.add(one.name)
                new.append(one.name)
        gone = [name for name in removed if name in held]
        for name in gone:
            for rows in (held, self.held[EDS], self.active):
                rows.pop(name, None)
            self.warming.pop(name, None)
        dropped = tuple(name for name in gone if name in self.watched)
        self.watched.difference_update(dropped)
        if not new and not dropped:
            return
        if EDS not in stream.asked:
            self._first(stream, EDS, tuple(sorted(self.watched)))
        else:
            self._say(
                stream,
                DeltaRequest(stream.number, EDS, subscribe=tuple(new), unsubscribe=dropped),
            )

    def _warm(self, name: str) -> None:
        if self.warming.pop(name, None) is not None:
            self.active[name] = self.held[CDS][name]
            self.cleared(name)

    # -- requests -------------------------------------------------------------------------------

    def probe(self, authority: str) -> Probe:
        """Send a request, and say what becomes of it."""
        held = self.held[VHDS].get(f"{LISTENER}/{authority}:80")
        if LISTENER not in self.held[LDS] or held is None:
            return Probe("no route")
        answer = answer_of(held.body)
        if not answer.cluster:
            return Probe("served", answer)
        if answer.cluster not in self.active:
            return Probe("no cluster", answer)
        spots = self.spots(answer.cluster)
        return Probe("served" if spots else "no endpoints", answer, spots)

    def spots(self, cluster: str) -> tuple[Spot, ...]:
        """The endpoints of a cluster."""
        held = self.held[EDS].get(cluster)
        return () if held is None else spots_of(held.body)
