"""The core of the relay: events in, effects out. Configuration from peers, and for peers.

Knows no clock, no socket and no key of the mesh. While etcd is out of reach (or not asked, by choice) it looks for
content that enough hosts attest and that is newer than ours (`book`, `asking`), pulls it (`fetching`), weighs whether
it is of our epoch (`lives`), and hands it out as `Adopt`. Beside that it serves others from what it remembers
(`serving`, `history`), and decides whether this host holds a watch (`watchers`). This module passes events on and
keeps the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import assert_never

from sidecar.mesh.model import Locality
from sidecar.relay import events as on
from sidecar.relay.asking import Asker, Notary
from sidecar.relay.backoffs import Backoffs
from sidecar.relay.book import Book, Target
from sidecar.relay.events import StoreLink
from sidecar.relay.fetching import Fetched, Fetcher
from sidecar.relay.history import History
from sidecar.relay.lives import Lives, Verdict
from sidecar.relay.parcel import short_hash
from sidecar.relay.serving import Server
from sidecar.relay.settings import RelaySettings
from sidecar.relay.statements import Signs
from sidecar.relay.view import RelayView
from sidecar.relay.voice import Randomness, Voice
from sidecar.relay.watchers import Duty
from sidecar.relay.wire import ChunkRequest, Vouches, VouchRequest, Want, decode
from sidecar.standing.model import Standing, Sync
from store.mirror.events import Severity
from store.snapshot import Epoch, Snapshot

__all__ = ["Relay"]

_CONFLICTS_MAX = 1_000


class Relay:
    """One host's relay.

    Args:
        node: Who we are.
        rng: Seeded randomness (`random.Random`).
        settings: What may be turned.
        mesh_id: Name of the mesh, bound into statements.
        signer: Signs statements as this host; None: it vouches by its standing alone.
        locality: Where we are: peers of the same zone are asked first.
    """

    def __init__(
        self,
        node: str,
        rng: Randomness,
        settings: RelaySettings | None = None,
        *,
        mesh_id: str = "",
        signer: Signs | None = None,
        locality: Locality | None = None,
    ) -> None:
        place = locality or Locality()
        self._voice = Voice(node, place, settings or RelaySettings(), rng)
        self._history = History(self._voice.settings.history)
        self._book = Book()
        self._backoffs = Backoffs(self._voice)
        self._notary = Notary(self._voice, mesh_id, signer)
        self._asker = Asker(self._voice, self._book, self._backoffs, self._notary)
        self._fetcher = Fetcher(self._voice, self._book, self._backoffs)
        self._server = Server(self._voice, self._history)
        self._lives = Lives(self._voice, self._book, self._history)
        self._duty = Duty(node, place, self._voice.settings)
        self._link = StoreLink.AWAY
        self._begin_s: float | None = None
        self._sought: Target | None = None
        self._is_duty_due = True
        self._conflicts: dict[tuple[str, int, str], None] = {}
        self._due_s: float | None = None
        self._now_s = 0.0

    def deadline(self) -> float | None:
        """When to say `TimePassed` if nothing else happens; None: not before something does."""
        return self._due_s

    @property
    def holds_watch(self) -> bool:
        """Whether this host is to hold a watch on etcd."""
        return self._duty.is_wanted

    @property
    def sync(self) -> Sync:
        """What this host's standing should say of where it has its configuration from."""
        if self._link is StoreLink.FOLLOWED:
            return Sync.STORE
        if self._link is StoreLink.HELD or self._lives.held is not None:
            return Sync.HELD
        epoch = self._history.epoch
        at_store = self._book.at_store(epoch.cluster_id) if epoch is not None else ()
        return Sync.PEERS if at_store else Sync.STALE

    def snapshot(self) -> RelayView:
        """What the relay is about now; times are relative to its last event."""
        newest = self._history.newest
        chunks, chunks_all = self._fetcher.progress
        at_store = self._book.at_store(newest.epoch.cluster_id) if newest is not None else []
        return RelayView(
            link=self._link,
            sync=self.sync,
            epoch=self._history.epoch,
            revision=newest.revision if newest is not None else 0,
            target=self._fetcher.target,
            source=self._fetcher.source,
            chunks=chunks,
            chunks_all=chunks_all,
            serving=len(self._server),
            holds_watch=self.holds_watch,
            at_store=len(at_store),
            told=self.told,
            held=self._lives.held,
            left_alone=self._backoffs.active(self._now_s),
            counters=tuple(sorted(self._voice.counters.items())),
        )

    @property
    def told(self) -> int:
        """Revision above ours that hosts with etcd in reach have; 0: we have what they have."""
        own = self._history.newest
        if own is None:
            return 0
        count = self._voice.settings.attestations
        told = self._book.told(own.epoch.cluster_id, short_hash(own), count)
        return told if told > own.revision else 0

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        """Take in what happened.

        Args:
            event: What happened.
            now_s: Monotonic seconds; never less than before.

        Returns:
            What the shell is to do, in order.
        """
        effects: list[on.Effect] = []
        self._voice.effects = effects
        self._now_s = now_s
        self._take(event, now_s)
        self._lives.look(now_s)
        self._server.tick(now_s)
        self._fetcher.tick(now_s)
        self._decide_duty(now_s)
        self._seek(now_s)
        self._due_s = self._next_deadline(now_s)
        return effects

    def _take(self, event: on.Event, now_s: float) -> None:
        match event:
            case on.StoreSeen(link):
                self._link, self._is_duty_due = link, True
                if link is StoreLink.FOLLOWED:
                    self._history.confirm()
                    self._fetcher.drop("store_is_back")
            case on.SnapshotSeen(snapshot, is_first_hand):
                self._snapshot_seen(snapshot, is_first_hand)
            case on.StandingHeard(node, standing, key):
                self._heard(node, standing, key)
            case on.MembersSeen(peers):
                self._members_seen(peers)
            case on.PeerAsked(call, client, body):
                self._asked(call, client, body, now_s)
            case on.PeerAnswered(call, body):
                self._answered(call, body, now_s)
            case on.PeerFailed(call):
                if self._fetcher.owns(call):
                    self._fetcher.failed(now_s)
                elif self._asker.owns(call):
                    self._asker.failed(call, now_s)
            case on.EpochAccepted():
                if self._lives.accept():
                    self._book.begin_anew()
                else:
                    self._voice.report("nothing_to_accept", Severity.WARNING)
            case on.TimePassed():
                pass
            case _:
                assert_never(event)

    def _snapshot_seen(self, snapshot: Snapshot, is_first_hand: bool) -> None:
        own = self._history.newest
        if own is not None and own.epoch == snapshot.epoch and snapshot.revision < own.revision:
            self._voice.counters["older_ignored"] += 1
            return
        if own is not None and own.epoch != snapshot.epoch:
            self._fetcher.drop("epoch_changed")
            self._lives.leave(own, snapshot)
            self._book.begin_anew()
        self._history.remember(snapshot, is_first_hand=is_first_hand)

    def _members_seen(self, peers: Mapping[str, on.Peer]) -> None:
        self._voice.peers = peers
        self._book.seen(peers.keys())
        self._duty.members_seen({name: peer.locality for name, peer in peers.items()})
        self._is_duty_due = True
        if self._fetcher.source and self._fetcher.source not in peers:
            self._fetcher.failed(self._now_s)

    def _heard(self, node: str, standing: Standing, key: bytes) -> None:
        if node == self._voice.node:
            return
        before = self._book.standing(node)
        self._is_duty_due |= before is None or before.sync is not standing.sync
        self._notary.knows(node, key)
        self._book.heard(node, standing)
        epoch = self._history.epoch
        if epoch is None or standing.epoch is None or standing.epoch.cluster_id != epoch.cluster_id:
            return
        known = self._history.at(standing.received)
        if known is not None and short_hash(known).hex() != standing.received_hash:
            self._differs(node, standing)

    def _differs(self, node: str, standing: Standing) -> None:
        """A peer has other content than we at one revision: an alarm, and nothing else changes."""
        fact = (node, standing.received, standing.received_hash)
        if fact in self._conflicts:
            return
        if len(self._conflicts) >= _CONFLICTS_MAX:
            self._conflicts.clear()
        self._conflicts[fact] = None
        self._voice.counters["hash_differs"] += 1
        self._voice.report(
            "same_revision_other_content",
            Severity.ERROR,
            peer=node,
            revision=standing.received,
            peer_hash=standing.received_hash,
        )

    def _asked(self, call: int, client: str, body: bytes, now_s: float) -> None:
        match decode(body):
            case Want() as want:
                self._server.wanted(call, client, want, now_s)
            case ChunkRequest() as asked:
                self._server.asked(call, client, asked, now_s)
            case VouchRequest() as asked:
                statements = self._notary.statements(self._history, asked)
                self._voice.answer(call, Vouches(statements))
            case _:
                self._voice.counters["no_request"] += 1

    def _answered(self, call: int, body: bytes, now_s: float) -> None:
        if self._asker.owns(call):
            self._asker.answered(call, decode(body), now_s)
        elif self._fetcher.owns(call):
            fetched = self._fetcher.answered(decode(body), now_s)
            if fetched is not None:
                self._weigh(fetched, now_s)
        else:
            self._voice.counters["late_answers"] += 1

    def _weigh(self, fetched: Fetched, now_s: float) -> None:
        own, found = self._history.newest, fetched.snapshot
        if not fetched.is_whole:
            verdict = Verdict.ADOPT  # it builds on what we have, entry by entry
        else:
            verdict = self._lives.weigh(own, found, now_s)
        match verdict:
            case Verdict.HOLD | Verdict.REFUSE:
                if own is not None and own.epoch.cluster_id == found.epoch.cluster_id:
                    attesters = self._book.attesters(found.epoch.cluster_id, fetched.target.hash)
                    self._book.distrust(attesters)
            case Verdict.ADOPT:
                epoch = own.epoch if own is not None else found.epoch
                self._adopt(own, found, epoch, fetched)
            case Verdict.FOLLOW:
                assert own is not None, "another epoch than none is none"
                epoch = Epoch(own.epoch.life + 1, found.epoch.cluster_id)
                self._adopt(own, found, epoch, fetched)
                self._voice.report("epoch_followed", Severity.WARNING, epoch=str(epoch))
            case _:
                assert_never(verdict)

    def _adopt(self, own: Snapshot | None, found: Snapshot, epoch: Epoch, fetched: Fetched) -> None:
        """Take over what was fetched, sharing with what we have whatever is the same."""
        if own is not None and own.epoch == epoch and found.revision <= own.revision:
            self._voice.counters["older_ignored"] += 1
            return
        by = self._book.attesters(fetched.target.cluster_id, fetched.target.hash)
        if own is not None and fetched.is_whole:
            found = own.relist(found.entries(), found.revision, epoch=epoch)
        if own is not None and own.epoch != epoch:
            self._lives.leave(own, found)
            self._book.begin_anew()
        self._history.remember(found, is_first_hand=False)
        self._voice.counters["adopted"] += 1
        self._voice.effects.append(on.Adopt(found, fetched.sources[-1], by))

    def _seek(self, now_s: float) -> None:
        """Begin a pull when there is something to pull, some time within the jitter."""
        if self._link is StoreLink.FOLLOWED:
            self._begin_s = None
            return
        target = self._sought = self._target(now_s)
        if self._fetcher.target is not None:
            is_stuck = not self._fetcher.source and not self._fetcher.progress[0]
            if not (is_stuck and target is not None and target != self._fetcher.target):
                return
            self._fetcher.drop("outdated")
        if target is None:
            self._begin_s = None
            question = self._question()
            if question is not None:
                self._asker.begin(*question, now_s)
            return
        self._asker.succeeded()
        if self._begin_s is None:
            jitter_s = self._voice.settings.start_jitter_s
            self._begin_s = now_s + self._voice.rng.uniform(0.0, jitter_s)
        if now_s >= self._begin_s and self._fetcher.has_source(target, now_s):
            own = self._history.newest
            helps = own is not None and own.epoch.cluster_id == target.cluster_id
            base = own if helps and own is not None and own.revision < target.revision else None
            self._fetcher.begin(target, base, now_s)

    def _target(self, now_s: float) -> Target | None:
        """The newest content that is attested and that we do not have; of our own epoch while anybody holds it."""
        own = self._history.newest
        if own is None:
            return self._lives.first()
        cluster_id, count = own.epoch.cluster_id, self._voice.settings.attestations
        found = self._book.attested(cluster_id, count, above=own.revision)
        own_hash, labels = short_hash(own), Counter(one.revision for one in found)
        newer = [one for one in found if one.hash != own_hash and labels[one.revision] == 1]
        if newer:
            return next((one for one in newer if self._fetcher.has_source(one, now_s)), newer[0])
        if self._link is StoreLink.HELD:
            return None
        return self._lives.other(now_s)

    def _question(self) -> tuple[int, int] | None:
        """What peers may be asked to vouch for: a cluster id, and the revision above which."""
        own = self._history.newest
        if own is not None:
            return own.epoch.cluster_id, own.revision
        clusters = self._book.clusters()
        return (max(clusters, key=lambda c: (clusters[c], -c)), 0) if clusters else None

    def _decide_duty(self, now_s: float) -> None:
        """Whether this host is to hold a watch: computed when members, or who of them reaches etcd, have changed."""
        due_s = self._duty.deadline()
        if not self._is_duty_due and (due_s is None or now_s < due_s):
            return
        self._is_duty_due = False
        if self._duty.decide(self._reaches_store, now_s):
            self._voice.effects.append(on.WatchStore(self._duty.is_wanted))

    def _reaches_store(self, node: str) -> bool:
        if node == self._voice.node:
            return self._link is StoreLink.FOLLOWED
        standing = self._book.standing(node)
        return standing is not None and standing.sync is Sync.STORE

    def _next_deadline(self, now_s: float) -> float | None:
        times = [self._server.deadline(), self._fetcher.deadline(), self._duty.deadline()]
        if self._link is not StoreLink.FOLLOWED and self._fetcher.target is None:
            times += self._seeking_deadlines(now_s)
        return min((max(t, now_s) for t in times if t is not None), default=None)

    def _seeking_deadlines(self, now_s: float) -> list[float | None]:
        """Only times to come: what is due now was done by `_seek`, or waits for an event."""
        target = self._sought
        if target is not None and self._begin_s is not None:
            free_s = self._fetcher.free_s(target)
            return [None if free_s is None else max(self._begin_s, free_s)]
        question = self._question()
        times = [self._lives.deadline()]
        if question is not None:
            times.append(self._asker.deadline(*question))
        return [t for t in times if t is not None and t > now_s]
