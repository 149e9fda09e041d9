"""The relay at work: its core (`sidecar.relay`) with gossip's listener, clock and members around it.

Everything that comes in is handled in trio's thread, in the call that brings it. What peers bring goes to whoever
takes it (`Taking`), and is in force there before the next event is handled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import trio

from sidecar.agent.gossip_shell import GossipShell, Told
from sidecar.agent.relay_streams import RelayCaller, RelayServer
from sidecar.agent.turns import Alarm, Turns
from sidecar.gossip import Status
from sidecar.gossip import events as heard
from sidecar.gossip.records import Topic
from sidecar.mesh.model import Locality
from sidecar.relay import Relay, RelayView
from sidecar.relay import events as on
from sidecar.standing.codec import decode
from sidecar.standing.model import Sync
from store.errors import PeerError
from store.etcd.watch import log_report
from store.snapshot import Snapshot

__all__ = ["Adopted", "RelayShell", "Taking"]

CALLS_MAX = 16
"""Questions of our own under way; beyond, they fail at once. A pull asks one, a round three."""
MEMBERS_SETTLE_S = 0.05
"""A burst of changes of members is told once: each telling costs as much as there are members."""
IDLE_LOOKED_AT_S = 5.0
"""Between looks at connections that are not used."""


@dataclass(frozen=True, kw_only=True)
class Taking:
    """Who does what the relay decides; all are called in trio's thread."""

    adopt: Callable[[Snapshot], None]
    """This came from peers, and is this host's configuration now."""
    watch: Callable[[bool], None]
    """Hold a watch on etcd, or let go of it."""
    localities: Callable[[], Mapping[str, Locality]]
    """Where hosts are, as far as they are registered."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken from peers last."""

    source: str
    revision: int
    attested_by: tuple[str, ...]
    at_s: float


class RelayShell:
    """One host's relay.

    Args:
        core: It.
        gossip: Where peers are heard of, and whose listener they come through.
        taking: Who does what it decides.
    """

    def __init__(self, core: Relay, gossip: GossipShell, taking: Taking) -> None:
        self._core = core
        self._gossip = gossip
        self._taking = taking
        self._turns = Turns[on.Event, on.Effect](core.handle, self._perform)
        self._alarm = Alarm(core.deadline, lambda: self.handle(on.TimePassed()))
        self._members_changed = trio.Event()
        self._answers: dict[int, _Answer] = {}
        self._asked = 0
        self._asking = 0
        self._nursery: trio.Nursery | None = None
        self._caller = RelayCaller(lambda: gossip.keys.keyring, gossip.traffic)
        self.adopted: Adopted | None = None
        """What was taken from peers last; None: nothing in this life."""
        self.current_s: float | None = None
        """When this host last was known to have what etcd has; None: never in this life."""
        server = RelayServer(lambda: gossip.keys.keyring, self._peer_asked, gossip.traffic)
        gossip.serve_relay(server.serve)
        gossip.listen(self._heard)
        self._members_changed.set()  # also where there are none: then nobody waits for them

    @property
    def sync(self) -> Sync:
        """Where this host has its configuration from."""
        return self._core.sync

    @property
    def is_watching(self) -> bool:
        """Whether this host is to hold a watch on etcd."""
        return self._core.holds_watch

    def view(self) -> RelayView:
        """What it is about."""
        return self._core.snapshot()

    def is_current(self) -> bool:
        """Whether this host has what etcd has, as far as it or its peers can tell."""
        if self._core.sync is Sync.STORE:
            return True
        return self._core.sync is Sync.PEERS and not self._core.told

    def handle(self, event: on.Event) -> None:
        """Tell the core, and do what it asks for. Events that effects bring about come after them."""
        if not self._turns.take(event):
            return
        if self.is_current():
            self.current_s = trio.current_time()
        self._alarm.look_again()

    def places_changed(self) -> None:
        """Hosts may be elsewhere than before."""
        self._members_changed.set()

    async def run(self) -> None:
        """Take part until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._alarm.run)
                nursery.start_soon(self._tell_members)
                nursery.start_soon(self._close_idle)
        finally:
            self._nursery = None
            self._caller.close_idle(everything=True)

    # -- tasks ----------------------------------------------------------------------------------

    async def _tell_members(self) -> None:
        while True:
            await self._members_changed.wait()
            await trio.sleep(MEMBERS_SETTLE_S)
            self._members_changed = trio.Event()
            self.handle(on.MembersSeen(self._members()))

    async def _close_idle(self) -> None:
        while True:
            await trio.sleep(IDLE_LOOKED_AT_S)
            self._caller.close_idle()

    def _members(self) -> dict[str, on.Peer]:
        places = self._taking.localities()
        return {
            row.identity.node: on.Peer(
                row.identity.address, places.get(row.identity.node, Locality())
            )
            for row in self._gossip.view().members
            if row.status in (Status.ALIVE, Status.SUSPECT)
        }

    # -- events and effects ---------------------------------------------------------------------

    def _heard(self, told: Told) -> None:
        match told:
            case heard.RecordHeard(record) if record.topic is Topic.STANDING:
                standing = decode(record.body)
                if standing is not None:
                    self.handle(on.StandingHeard(record.node, standing, record.key))
            case heard.MemberChanged():
                self._members_changed.set()
            case _:
                pass

    def _perform(self, effect: on.Effect) -> None:
        match effect:
            case on.AskPeer():
                self._ask(effect)
            case on.AnswerPeer(call, body):
                answer = self._answers.get(call)
                if answer is not None:  # else who asked has gone
                    answer.give(body)
            case on.Adopt(snapshot, source, attested_by):
                self.adopted = Adopted(source, snapshot.revision, attested_by, trio.current_time())
                self._taking.adopt(snapshot)
            case on.WatchStore(is_wanted):
                self._taking.watch(is_wanted)
            case on.Report():
                log_report(effect)

    def _ask(self, effect: on.AskPeer) -> None:
        if self._nursery is None or self._asking >= CALLS_MAX:
            self.handle(on.PeerFailed(effect.call))
            return
        self._asking += 1
        self._nursery.start_soon(self._ask_peer, effect)

    async def _ask_peer(self, effect: on.AskPeer) -> None:
        outcome: on.Event = on.PeerFailed(effect.call)
        dropped = self._gossip.traffic.dropped
        try:
            with trio.move_on_after(effect.timeout_s) as scope:
                body = await self._caller.call(effect.address, effect.body)
                outcome = on.PeerAnswered(effect.call, body)
        except (OSError, ValueError):
            dropped["relay_call_failed"] += 1
        except PeerError as problem:
            dropped[f"relay_answer_{problem.message}"] += 1
        finally:
            self._asking -= 1
        if scope.cancelled_caught:
            dropped["relay_call_timed_out"] += 1
        self.handle(outcome)

    async def _peer_asked(self, client: str, body: bytes) -> bytes:
        """Answer a peer; the caller bounds how long that may take."""
        self._asked += 1
        call = self._asked
        answer = self._answers[call] = _Answer()
        try:
            self.handle(on.PeerAsked(call, client, body))
            return await answer.wait()
        finally:
            del self._answers[call]


class _Answer:
    """An answer that may come later."""

    def __init__(self) -> None:
        self._body = b""
        self._is_here = trio.Event()

    def give(self, body: bytes) -> None:
        self._body = body
        self._is_here.set()

    async def wait(self) -> bytes:
        await self._is_here.wait()
        return self._body
