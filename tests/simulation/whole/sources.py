"""Mirror and relay of one sidecar, composed as `sidecar.agent.sources` and its shells compose them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from sidecar.agent.turns import Turns
from sidecar.gossip import Status
from sidecar.gossip import events as heard
from sidecar.gossip.records import Topic
from sidecar.node.events import Source
from sidecar.relay import Relay, StoreLink
from sidecar.relay import events as on
from sidecar.standing.codec import decode
from sidecar.standing.model import Sync
from store.mirror import Mirror, MirrorState
from store.mirror import events as mirror_events
from store.snapshot import Snapshot
from tests.simulation.whole.store import Link, StoreSite
from tests.simulation.whole.timing import Timer
from tests.simulation.world import MESH, signer_of
from tests.simulation.world import World as Clock

__all__ = ["RelayWays", "Sources"]

STALE_AFTER_S = 8.0
"""As `sidecar.agent.sources.STALE_AFTER_S`."""
MEMBERS_SETTLE_S = 0.05
"""As `sidecar.agent.relay_shell.MEMBERS_SETTLE_S`."""


class RelayWays(Protocol):
    """Carries the relay's questions and answers between hosts."""

    def ask(self, source: str, ask: on.AskPeer) -> None:
        """A host asks another."""

    def answer(self, source: str, call: int, body: bytes) -> None:
        """A host answers a question that it was brought."""


class Sources:
    """Where one sidecar's configuration comes from.

    Args:
        name: The host.
        clock: The time, and the gossip of all hosts.
        site: etcd.
        ways: Between relays.
        take: Takes each snapshot that is to be in force.
        changed: Told when anything of this may have changed.
        seed: The last known good, from disk.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        site: StoreSite,
        ways: RelayWays,
        take: Callable[[Snapshot, Source], None],
        changed: Callable[[], None],
        *,
        seed: Snapshot | None,
    ) -> None:
        self.name, self._clock, self._ways = name, clock, ways
        self._take, self._changed, self._seed = take, changed, seed
        rng = random.Random(clock.rng.random())
        self.mirror = Mirror(random.Random(rng.random()), seed=seed)
        self.relay = Relay(name, rng, mesh_id=MESH, signer=signer_of(name))
        self.link = Link(site, name, self._heard_of_store)
        self.adopted = 0
        """Snapshots taken from peers."""
        self.lie: Callable[[Snapshot], Snapshot] | None = None
        """What this host tells the others in the place of what it holds; None: the truth."""
        self.reports: list[on.Report | mirror_events.Report] = []
        self._pending: Snapshot | None = None
        self._is_from_peers = False
        self._turns = Turns[on.Event, on.Effect](
            self.relay.handle, self._do, clock=lambda: clock.now_s
        )
        self._members_wait = False
        self._mirror_timer = Timer(
            clock,
            self.mirror.deadline,
            lambda: self._mirror_told(mirror_events.Woken()),
            lambda: self.link.is_open,
        )
        self._relay_timer = Timer(
            clock,
            self.relay.deadline,
            lambda: self.tell_relay(on.TimePassed()),
            lambda: self.link.is_open,
        )

    def begin(self) -> None:
        """The process runs."""
        if self._seed is not None:
            self.tell_relay(on.SnapshotSeen(self._seed, is_first_hand=False))
        self.tell_relay(on.StoreSeen(self._link()))
        self._mirror_told(mirror_events.Started())
        self._members_changed()

    def end(self) -> None:
        """The process ends."""
        self.link.close()

    def sync(self) -> Sync:
        """Where this host has its configuration from, as it tells the others."""
        status, found = self.mirror.status, self.relay.sync
        heard_s = status.heard_s
        was_heard = heard_s is not None and self._clock.now_s - heard_s < STALE_AFTER_S
        if found in (Sync.PEERS, Sync.STALE) and was_heard and not self._is_from_peers:
            return Sync.STORE
        return found

    def said_of(self, snapshot: Snapshot) -> Snapshot:
        """What this host says that it holds."""
        return snapshot if self.lie is None else self.lie(snapshot)

    def accept_epoch(self) -> bool:
        """A person accepts the epoch that is held; whether one is."""
        mirror, relay = self.mirror.status.held, self.relay.snapshot().held
        if mirror is not None:
            self._mirror_told(mirror_events.EpochAccepted())
        if relay is not None:
            self.tell_relay(on.EpochAccepted())
        return mirror is not None or relay is not None

    def told(self, effect: heard.Effect) -> None:
        """Gossip tells something."""
        match effect:
            case heard.RecordHeard(record) if record.topic is Topic.STANDING:
                standing = decode(record.body)
                if standing is not None:
                    self.tell_relay(on.StandingHeard(record.node, standing, record.key))
            case heard.MemberChanged():
                self._members_changed()
            case _:
                pass

    def tell_relay(self, event: on.Event) -> None:
        """Tell the relay, and do what it asks for; events that this brings about come after it."""
        if self._turns.take(event):
            self._relay_timer.arm()

    def _do(self, effect: on.Effect) -> None:
        match effect:
            case on.AskPeer():
                self._ways.ask(self.name, effect)
            case on.AnswerPeer(call, body):
                self._ways.answer(self.name, call, body)
            case on.Adopt(snapshot):
                self.adopted += 1
                self._is_from_peers = True
                self._pending = None
                self._mirror_told(mirror_events.Relayed(snapshot))
                self._take(snapshot, Source.PEERS)
            case on.WatchStore():
                raise AssertionError("watch_share is 1: every host holds a watch")
            case on.Report():
                self.reports.append(effect)

    def _heard_of_store(self, event: mirror_events.Event) -> None:
        if self.link.is_open:
            self._mirror_told(event)

    def _mirror_told(self, event: mirror_events.Event) -> None:
        before = self.mirror.status.state
        for effect in self.mirror.handle(event, self._clock.now_s):
            match effect:
                case mirror_events.Publish(snapshot):
                    if self._pending is None:
                        self._clock.at(self._clock.now_s, self._publish)
                    self._pending = snapshot
                    self.tell_relay(on.SnapshotSeen(self.said_of(snapshot)))
                case mirror_events.Report():
                    self.reports.append(effect)
                case _:
                    self.link.do(effect)
        self._mirror_timer.arm()
        if self.mirror.status.state is not before:
            if self.mirror.status.is_fresh:
                self._is_from_peers = False
            self.tell_relay(on.StoreSeen(self._link()))
            self._changed()

    def _publish(self) -> None:
        snapshot, self._pending = self._pending, None
        if snapshot is not None and self.link.is_open:
            self._is_from_peers = False
            self._take(snapshot, Source.ETCD)

    def _link(self) -> StoreLink:
        match self.mirror.status.state:
            case MirrorState.WATCHING:
                return StoreLink.FOLLOWED
            case MirrorState.HELD:
                return StoreLink.HELD
            case _:
                return StoreLink.AWAY

    def _members_changed(self) -> None:
        if not self._members_wait:
            self._members_wait = True
            self._clock.at(self._clock.now_s + MEMBERS_SETTLE_S, self._tell_members)

    def _tell_members(self) -> None:
        self._members_wait = False
        if not self.link.is_open:
            return
        rows = self._clock.hosts[self.name].core.snapshot().members
        self.tell_relay(
            on.MembersSeen(
                {
                    row.identity.node: on.Peer(row.identity.node)
                    for row in rows
                    if row.status in (Status.ALIVE, Status.SUSPECT)
                }
            )
        )
