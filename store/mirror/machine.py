"""The Mirror: list and watch folded into snapshots, whatever befalls the store or the way to it.

A state machine without I/O: `handle` takes one event and returns what to do, `deadline` says when it wants to be
woken. It reads everything at one revision, then watches from the next one on; after any break it resumes from the
last event it knows. What is known stays in force until something better is known: no break, compaction, or emptied
store makes the mesh empty in between.

Rules: the thirteen of etcd's clients (list then watch, resume from the last event, canceled before compacted before
created before events, silence is death), and the epochs of `store.mirror.judgement`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from store.mirror import events as on
from store.mirror.asking import Asking
from store.mirror.comparing import Comparison, agrees, told
from store.mirror.complaints import Complaints
from store.mirror.doubt import Doubt
from store.mirror.following import follow, reread
from store.mirror.holding import Holding
from store.mirror.judgement import Gone, Judgement, Reading, is_new_life, judge
from store.mirror.patience import Jitter, MirrorSettings, Patience, Silence
from store.mirror.servers import cancellation, progress_is_a_bookmark
from store.mirror.status import TRANSITIONS, Counters, MirrorState, MirrorStatus
from store.snapshot import Epoch, Snapshot

__all__ = ["Mirror"]

_S = MirrorState


class Mirror:
    """One host's copy of the store.

    Args:
        jitter: Seeded randomness for pauses.
        seed: The last snapshot from disk: it is in force from the start (the shell has published it), and the watch
            resumes from it when the store still is the same and still remembers.
        settings: Patience.
    """

    def __init__(
        self,
        jitter: Jitter,
        *,
        seed: Snapshot | None = None,
        settings: MirrorSettings | None = None,
    ) -> None:
        self._settings = settings or MirrorSettings()
        self._patience = Patience(jitter, self._settings)
        self._comparison = Comparison(self._patience)
        self._doubt = Doubt()
        self._snapshot = seed
        self._known = seed.revision if seed is not None else 0
        self._state, self._since = _S.IDLE, 0.0
        self._wake: float | None = None
        self._lag_seen = self._is_resumed = self._is_compacted = False
        self._heard: float | None = None
        self._heartbeat, self._resynced = 0.0, -math.inf
        self._silence = Silence()
        self._reason = self._version = ""
        self._complaints = Complaints()
        self._holding = Holding()
        self._counters = Counters()
        self._ask = Asking(self._counters)

    @property
    def snapshot(self) -> Snapshot | None:
        """What is in force; None before the first reading."""
        return self._snapshot

    @property
    def status(self) -> MirrorStatus:
        """One look at the machine."""
        known = self._snapshot
        epoch, revision = (known.epoch, known.revision) if known is not None else (None, 0)
        said = (
            self._heard,
            self._reason,
            self._holding.epoch,
            self._version,
            replace(self._counters),
        )
        return MirrorStatus(self._state, self._since, epoch, revision, *said)

    def deadline(self) -> float | None:
        """When `Woken` is wanted; None when only an event can bring the next step."""
        if self._state is _S.OPENING:
            return self._silence.ends_s
        if self._state is _S.WATCHING:
            return min(self._silence.ends_s, self._heartbeat, self._comparison.at)
        return self._wake

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        """Take one event and say what to do. An event that does not fit the state changes nothing."""
        self._ask.effects = []
        match event:
            case on.Started():
                if self._state is _S.IDLE:
                    self._list(now_s) if self._snapshot is None else self._open(now_s)
            case on.Listed(request) if self._ask.is_awaited(request):
                self._listed(event, now_s)
            case on.KeysListed(request) if self._ask.is_awaited(request):
                self._keys_listed(event, now_s)
            case on.KeyRead(request) if self._ask.is_awaited(request):
                self._witnessed(event, now_s)
            case on.ReadFailed(request, failure) if self._ask.is_awaited(request):
                self._read_failed(failure, now_s)
            case on.WatchAnswered(stream) if self._ask.is_open(stream):
                self._answered(event, now_s)
            case on.WatchBroken(stream, failure) if self._ask.is_open(stream):
                self._failed("watch_broken", failure, now_s)
            case on.ServerIdentified(stream, version) if self._ask.is_latest(stream):
                self._version = version
            case on.Listed() | on.KeysListed() | on.KeyRead() | on.ReadFailed():
                pass  # nobody waits for it any more
            case on.WatchAnswered() | on.WatchBroken() | on.ServerIdentified():
                pass  # of a stream that was given up
            case on.EpochAccepted():
                self._accept(now_s)
            case on.Relayed(snapshot):
                self._relayed(snapshot, now_s)
            case on.Woken():
                self._woken(now_s)
            case _:
                assert_never(event)
        return self._ask.effects

    def _list(self, now_s: float) -> None:
        self._ask.close()
        self._enter(_S.LISTING, now_s, self._reason)
        self._ask.read_everything()

    def _listed(self, event: on.Listed, now_s: float) -> None:
        self._ask.answered()
        self._heard = now_s
        if self._snapshot is None:
            self._adopt(event, Epoch(1, event.cluster_id), now_s)
            return
        revisions = {entry.key: entry.mod_revision for entry in event.entries}
        reading = Reading(revisions, event.revision, event.cluster_id)
        judgement, worst = self._judge(reading)
        is_accepted = self._holding.accepts(event.cluster_id)
        is_second = self._state is _S.CONFIRMING
        match judgement.after(is_accepted=is_accepted, is_second=is_second):
            case Judgement.ADOPT:
                self._adopt(event, self._snapshot.epoch, now_s)
            case Judgement.FOLLOW:
                epoch = Epoch(self._snapshot.epoch.life + 1, event.cluster_id)
                facts = {"epoch": str(epoch), "lost": str(worst)}
                self._ask.report("epoch_followed", on.Severity.WARNING, **facts)
                self._adopt(event, epoch, now_s)
            case Judgement.CONFIRM:
                self._enter(_S.CONFIRMING, now_s, f"a reading lacks {worst}")
                self._wake = now_s + self._settings.confirm_s
                self._ask.report("mass_deletion_doubted", on.Severity.WARNING, lost=str(worst))
            case Judgement.HOLD:
                self._hold(reading, f"it lacks {worst}", now_s)

    def _judge(self, reading: Reading) -> tuple[Judgement, Gone]:
        assert self._snapshot is not None
        return judge(self._snapshot, reading, self._known, is_new=self._doubt.is_confirmed)

    def _adopt(self, event: on.Listed, epoch: Epoch, now_s: float) -> None:
        after = reread(self._snapshot, event.entries, event.revision, epoch)
        self._holding.end()
        self._comparison.forget()
        self._go_on_from(after, event.revision, now_s)

    def _go_on_from(self, snapshot: Snapshot, revision: int, now_s: float) -> None:
        """A reading at `revision` was believed: it is in force, and the watch goes on behind it."""
        self._known, self._reason, self._is_compacted = revision, "", False
        self._publish(snapshot)
        self._open(now_s, resumed=False)

    def _hold(self, reading: Reading, lack: str, now_s: float) -> None:
        self._enter(_S.HELD, now_s, f"another epoch is held: {lack}")
        self._wake = now_s + self._patience.about(self._settings.held_poll_s)
        self._ask.effects += self._holding.hold(reading, lack)

    def _accept(self, now_s: float) -> None:
        if self._state is not _S.HELD:
            self._ask.report("nothing_to_accept", on.Severity.WARNING)
            return
        self._holding.accept()
        self._list(now_s)

    def _relayed(self, snapshot: Snapshot, now_s: float) -> None:
        """Go on from what peers brought; the shell has published it. While a watch runs, etcd's word counts."""
        is_same_epoch = self._snapshot is not None and self._snapshot.epoch == snapshot.epoch
        if self._state is _S.WATCHING or (is_same_epoch and snapshot.revision <= self._known):
            return
        self._snapshot, self._known, self._is_compacted = snapshot, snapshot.revision, False
        self._comparison.forget()
        self._doubt.renew(snapshot, self._known)
        if self._state in (_S.LISTING, _S.CHECKING, _S.CONFIRMING):
            self._list(now_s)  # a reading that began before may be older than what is known now

    def _keys_listed(self, event: on.KeysListed, now_s: float) -> None:
        assert self._snapshot is not None
        self._ask.answered()
        self._heard = now_s
        reading = Reading(event.mod_revisions, event.revision, event.cluster_id)
        if self._state is _S.WATCHING:
            self._compare(reading, now_s)
        elif self._state is _S.HELD:
            judgement, worst = self._judge(reading)
            if judgement is Judgement.HOLD:
                self._hold(reading, f"it lacks {worst}", now_s)
            else:
                self._list(now_s)
        elif not is_new_life(self._snapshot, reading, self._known) and agrees(
            self._snapshot, reading
        ):
            self._go_on_from(
                self._snapshot.apply((), (), reading.revision), reading.revision, now_s
            )
        else:
            self._list(now_s)

    def _compare(self, reading: Reading, now_s: float) -> None:
        """Anti-entropy while the watch goes on; see `store.mirror.comparing`."""
        assert self._snapshot is not None
        if is_new_life(self._snapshot, reading, self._comparison.known):
            self._is_another(now_s, revision=reading.revision)
            return
        lost = self._comparison.weigh(self._snapshot, reading, now_s)
        if lost:
            self._counters.drift_repaired += len(lost)
            self._ask.report("lost_events_found", on.Severity.WARNING, **told(lost))
            self._list(now_s)

    def _is_another(self, now_s: float, **facts: str | int) -> None:
        """What is behind the endpoints is not in the life that we knew: only a reading tells what it is."""
        self._ask.report("store_is_another", on.Severity.WARNING, **facts)
        self._list(now_s)

    def _read_failed(self, failure: on.Failure, now_s: float) -> None:
        self._ask.answered()
        if self._state is _S.WATCHING:
            self._comparison.again(now_s)
        elif self._state is _S.HELD:
            self._wake = now_s + self._patience.about(self._settings.held_poll_s)
        elif self._state is _S.CONFIRMING:
            self._wake = now_s + self._pause_s()
        elif self._state is _S.OPENING and failure.kind is on.FailureKind.COMPACTED:
            self._compacted(self._known, now_s)
        elif self._state is _S.OPENING and failure.kind is on.FailureKind.OTHER:
            self._ask.close()
            self._check(now_s, "its revisions are not those that we knew")
        else:
            self._ask.close()
            self._failed("read_failed", failure, now_s)

    def _witnessed(self, event: on.KeyRead, now_s: float) -> None:
        """Whether the watch that was taken up again is of the life that we knew; see `store.mirror.doubt`."""
        assert self._snapshot is not None
        self._ask.answered()
        self._heard = now_s
        held = self._doubt.settle(event, self._snapshot.epoch.cluster_id)
        if held is None:
            self._is_another(now_s, revision=event.revision)
        elif self._doubt.is_open:
            self._ask.read_key(*self._doubt.question())
        for answer in held or ():
            self._alive(answer, now_s)

    def _open(self, now_s: float, *, resumed: bool = True) -> None:
        self._ask.close()
        self._is_resumed = resumed
        self._doubt.end()
        if resumed and self._snapshot is not None:
            self._doubt.begin(self._snapshot, self._known)
        self._enter(_S.OPENING, now_s, self._reason)
        self._lag_seen = False
        self._silence.allow(self._settings.opening_s, now_s)
        self._ask.open_watch(self._known + 1)

    def _answered(self, event: on.WatchAnswered, now_s: float) -> None:
        assert self._snapshot is not None
        self._heard = now_s
        self._silence.allow(self._settings.silence_s, now_s)
        if event.compact_revision:
            self._compacted(event.compact_revision, now_s)
        elif event.canceled:
            self._ask.close()
            self._failed("watch_canceled", cancellation(event.cancel_reason), now_s)
        elif event.cluster_id != self._snapshot.epoch.cluster_id:
            self._is_another(now_s, cluster_id=f"{event.cluster_id:x}")
        elif self._doubt.is_open:
            question = self._doubt.hold(event)
            if question is not None:
                self._ask.read_key(*question)
        else:
            self._alive(event, now_s)

    def _alive(self, event: on.WatchAnswered, now_s: float) -> None:
        assert self._snapshot is not None
        if self._state is _S.OPENING:
            self._enter(_S.WATCHING, now_s)
            self._complaints.end()
            self._heartbeat = now_s + self._settings.heartbeat_s
            self._comparison.begin(now_s, resumed=self._is_resumed)
        elif now_s - self._since >= self._settings.heartbeat_s:
            self._patience.reset()
        if event.changes:
            after, self._known, dropped = follow(self._snapshot, event.changes, self._known)
            self._counters.dropped_events += dropped
            self._publish(after)
        elif event.revision < self._known:
            # A member that lags, or a store that was restored: a linearizable read tells which.
            if not self._lag_seen:
                self._comparison.at = now_s
            self._lag_seen = True
        elif not event.created and progress_is_a_bookmark(self._version):
            self._known = event.revision

    def _compacted(self, compact_revision: int, now_s: float) -> None:
        self._counters.compactions += 1
        self._ask.close()
        self._is_compacted = True
        self._ask.report("watch_compacted", known=self._known, compacted=compact_revision)
        if now_s - self._resynced < self._settings.resync_pause_s:
            self._back_off("compacted twice in a row", now_s)
        else:
            self._check(now_s)

    def _check(self, now_s: float, reason: str = "compacted") -> None:
        """What is known is compacted away, say: a watch cannot go on from it, only a reading can."""
        self._resynced = now_s
        self._enter(_S.CHECKING, now_s, reason)
        self._ask.read_keys()

    def _failed(self, name: str, failure: on.Failure, now_s: float) -> None:
        self._ask.forget()
        severity = self._complaints.weigh(failure, is_news=failure.text != self._reason)
        if severity is not None:
            self._ask.report(name, severity, kind=failure.kind.value, reason=failure.text)
        is_denied = failure.kind is on.FailureKind.DENIED
        self._ask.effects.append(on.Reauthenticate() if is_denied else on.SwitchEndpoint())
        self._back_off(failure.text, now_s)

    def _back_off(self, reason: str, now_s: float) -> None:
        self._enter(_S.BACKOFF, now_s, reason)
        self._wake = now_s + self._pause_s()

    def _pause_s(self) -> float:
        hosts = sum(1 for _ in self._snapshot.hosts()) if self._snapshot is not None else 0
        return self._patience.pause_s(hosts)

    def _woken(self, now_s: float) -> None:
        if self._state in (_S.OPENING, _S.WATCHING):
            if now_s >= self._silence.ends_s:
                self._ask.close()
                silence = f"no word from etcd for {self._silence.allowed_s:g} s"
                self._failed("watch_silent", on.Failure(on.FailureKind.UNAVAILABLE, silence), now_s)
                return
            if self._state is _S.WATCHING:
                self._tend(now_s)
        elif self._wake is not None and now_s >= self._wake:
            self._wake = None
            match self._state:
                case _S.BACKOFF:
                    self._try_again(now_s)
                case _S.CONFIRMING:
                    self._ask.read_everything()
                case _S.HELD:
                    self._ask.read_keys()

    def _try_again(self, now_s: float) -> None:
        if self._snapshot is None or self._holding.is_accepted:
            self._list(now_s)
        elif self._is_compacted:
            self._check(now_s)
        else:
            self._open(now_s)

    def _tend(self, now_s: float) -> None:
        if now_s >= self._heartbeat:
            self._heartbeat = now_s + self._settings.heartbeat_s
            self._ask.request_progress()
        if now_s >= self._comparison.at:
            self._comparison.ask(self._known, now_s)
            if not self._ask.is_reading:
                self._ask.read_keys()

    def _enter(self, state: MirrorState, now_s: float, reason: str = "") -> None:
        if state is not self._state:
            assert state in TRANSITIONS[self._state], f"{self._state} -> {state} is not foreseen"
            self._state, self._since = state, now_s
        self._reason, self._wake = reason, None

    def _publish(self, after: Snapshot) -> None:
        before, self._snapshot = self._snapshot, after
        if before is None or not before.is_same(after):
            self._ask.effects.append(on.Publish(after))
