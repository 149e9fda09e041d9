"""What every member of the mesh has of its configuration, as this host has heard it.

Takes own state and the records of others; decides when to say our own, whether somebody waits in vain, whom to ask
directly, and raises the alarm when members have different content at one revision. A member counts while gossip holds
it alive or suspect, and only by words of its present life: what an earlier life had in force says nothing of this one.

Knows neither clock nor wire; `docs/gossip.md` says how records travel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from sidecar.gossip.claims import Identity, Status
from sidecar.standing import events as on
from sidecar.standing.agreement import Agreement, Point
from sidecar.standing.codec import decode, encode
from sidecar.standing.model import Standing
from sidecar.standing.progress import progress
from sidecar.standing.view import MemberStanding, StandingsView, WaitView
from sidecar.standing.waits import FIRST_ASK_S, Wait, earliest

__all__ = ["ROWS_MAX", "Standings"]

ROWS_MAX = 10_000
"""Members remembered, as many as gossip remembers."""

_HERE = (Status.ALIVE, Status.SUSPECT)


@dataclass(slots=True)
class _Row:
    """What is held about one other member."""

    identity: Identity | None = None
    status: Status | None = None
    standing: Standing | None = None
    epoch: int = -1
    """Boot epoch of the life that said it."""
    said_s: float = float("-inf")

    @property
    def counts(self) -> bool:
        return self.status in _HERE

    @property
    def current(self) -> Standing | None:
        """Its words, when they are of its present life."""
        is_of_now = self.identity is None or self.identity.epoch == self.epoch
        return self.standing if is_of_now else None


class Standings:
    """One host's knowledge of the configuration of all.

    Args:
        node: This host.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._own: Standing | None = None
        self._rows: dict[str, _Row] = {}
        self._agreement = Agreement(node)
        self._alarms: dict[Point, on.HashesDiffer] = {}
        self._waits: dict[int, Wait] = {}
        self._unreadable = 0
        self._out: list[on.Effect] = []

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        """Take in what happened; returns what the shell is to do, in order."""
        match event:
            case on.OwnChanged():
                self._become(event.standing)
            case on.RecordHeard():
                self._hear(event, now_s)
            case on.RecordDropped():
                self._drop(event.node)
            case on.MemberChanged():
                self._hold(event)
            case on.WaitBegan():
                self._begin(event, now_s)
            case on.WaitEnded():
                self._waits.pop(event.wait, None)
            case on.TimePassed():
                pass
            case _:
                assert_never(event)
        self._ask(now_s)
        out, self._out = self._out, []
        return out

    def deadline(self) -> float | None:
        """When `TimePassed` is due if nothing else happens; None: not at all."""
        return earliest(self._waits)

    def wait_view(self, wait: int) -> WaitView:
        """How far a wait is that has begun and not ended."""
        one = self._waits[wait]
        pending = {node: one.pending[node] for node in sorted(one.pending)}
        return WaitView(tuple(sorted(one.met)), pending, tuple(sorted(one.gone)))

    def view(self) -> StandingsView:
        """What is known now."""
        members = tuple(
            MemberStanding(node, row.status, row.standing, row.said_s, row.current is not None)
            for node, row in sorted(self._rows.items())
        )
        versions: dict[str, list[str]] = {}
        if self._own is not None:
            versions.setdefault(self._own.version, []).append(self._node)
        for node, row in sorted(self._rows.items()):
            if row.counts and row.current is not None:
                versions.setdefault(row.current.version, []).append(node)
        return StandingsView(
            self._own,
            members,
            tuple(self._alarms.values()),
            {version: tuple(sorted(versions[version])) for version in sorted(versions)},
            self._unreadable,
        )

    # -- events ---------------------------------------------------------------------------------

    def _become(self, standing: Standing) -> None:
        if standing == self._own:
            return
        self._own = standing
        self._out.append(on.Say(encode(standing)))
        self._compare(self._node, standing)
        for wait in self._waits.values():
            self._judge_all(wait)
        self._tell_met()

    def _hear(self, event: on.RecordHeard, now_s: float) -> None:
        record = event.record
        if record.node == self._node:
            return
        standing = decode(record.body) if record.body else None
        if record.body and standing is None:
            self._unreadable += 1
            return
        row = self._row(record.node)
        if row is None:
            return
        row.standing, row.epoch = standing, record.epoch
        row.said_s = now_s - record.age_ms / 1000
        self._changed(record.node, row)

    def _drop(self, node: str) -> None:
        row = self._rows.get(node)
        if row is None:
            return
        row.standing = None
        self._changed(node, row)
        if not row.counts:
            del self._rows[node]

    def _hold(self, event: on.MemberChanged) -> None:
        node = event.identity.node
        if node == self._node:
            return
        row = self._row(node)
        if row is None:
            return
        row.identity, row.status = event.identity, event.after
        self._changed(node, row)

    def _changed(self, node: str, row: _Row) -> None:
        self._compare(node, row.current if row.counts else None)
        for wait in self._waits.values():
            self._judge(wait, node, row)
        self._tell_met()

    def _row(self, node: str) -> _Row | None:
        """The row of a node, a new one where there is none and room; whoever is not here makes room first."""
        if node not in self._rows:
            if len(self._rows) >= ROWS_MAX:
                gone = next((one for one, row in self._rows.items() if not row.counts), None)
                if gone is None:
                    return None
                del self._rows[gone]
            self._rows[node] = _Row()
        return self._rows[node]

    # -- alarms ---------------------------------------------------------------------------------

    def _compare(self, node: str, standing: Standing | None) -> None:
        for point in self._agreement.claim(node, standing):
            claims = self._agreement.difference(point)
            listed = self._alarms.get(point)
            if claims:
                alarm = on.HashesDiffer(point.cluster_id, point.revision, claims)
                self._alarms[point] = alarm
                if listed is None:
                    self._out.append(alarm)
            elif listed is not None:
                del self._alarms[point]
                self._out.append(on.HashesAgree(point.cluster_id, point.revision))

    # -- waits ----------------------------------------------------------------------------------

    def _begin(self, event: on.WaitBegan, now_s: float) -> None:
        wait = Wait(event.revision, event.cluster_id, now_s + FIRST_ASK_S)
        self._waits[event.wait] = wait
        self._judge_all(wait)
        self._tell_met()

    def _judge_all(self, wait: Wait) -> None:
        wait.judge(self._node, progress(self._own, self._own, wait.revision, wait.cluster_id))
        for node, row in self._rows.items():
            self._judge(wait, node, row)

    def _judge(self, wait: Wait, node: str, row: _Row) -> None:
        if not row.counts:
            wait.lose(node)
            return
        standing = row.current
        differs = standing is not None and self._agreement.contradicts_ours(standing)
        found = progress(standing, self._own, wait.revision, wait.cluster_id, differs=differs)
        wait.judge(node, found)

    def _tell_met(self) -> None:
        for number, wait in self._waits.items():
            if not wait.pending and not wait.is_met:
                wait.is_met = True
                self._out.append(on.WaitMet(number))

    def _ask(self, now_s: float) -> None:
        nodes: Iterable[str] = {
            node for wait in self._waits.values() for node in wait.due(self._node, now_s)
        }
        if nodes:
            self._out.append(on.AskRecords(tuple(sorted(nodes))))
