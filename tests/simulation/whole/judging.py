"""Shared ejection of one sidecar, composed as `sidecar.agent.outlier_shell` and `outlier_memory` compose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sidecar.agent.turns import Turns
from sidecar.gossip.records import Topic
from sidecar.node import events as node_events
from sidecar.outlier import events as on
from sidecar.outlier.model import Destination, Outcomes, Place
from sidecar.outlier.outlier import Outlier
from sidecar.outlier.view import JudgementState
from sidecar.xds.local_ejections import EjectedUntil
from tests.simulation.whole.timing import Timer
from tests.simulation.world import World as Clock

__all__ = ["Judging", "Named", "Side"]

Named = on.EndpointName
SYNC_S, PENDING_MAX_S, LOOK_S = 1.0, 10.0, 0.1
"""As `sidecar.agent.outlier_memory`."""


class Side(Protocol):
    """What it needs of its sidecar."""

    @property
    def lives(self) -> bool:
        """Whether the process does."""

    def handle(self, event: node_events.Event) -> None:
        """Tell the node."""

    def held_ejections(self) -> frozenset[tuple[str, Place]]:
        """Ejections of Envoy's own that the node imposes in its place, by cluster."""

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Tell the mesh."""

    def imposes(
        self, judged: Mapping[Named, on.Imposed], all_of: Mapping[Named, on.Imposed]
    ) -> None:
        """This is imposed from now on: by judgement, and with what is left of the life before."""

    def after(self, pause_s: float, action: Callable[[], None]) -> None:
        """Do this later, if it lives then."""


class Judging:
    """The core, its memory, and what its own Envoy ejects.

    Args:
        name: The host.
        clock: The time.
        epoch: Of this life; milliseconds of its beginning.
        recalled: What the life before had imposed.
        side: Its sidecar.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        epoch: int,
        recalled: Mapping[Named, on.Imposed],
        side: Side,
    ) -> None:
        self._clock, self._began_s, self._side = clock, epoch / 1000, side
        self._outlier = Outlier(name, epoch)
        self._turns = Turns[on.Event, on.Effect](
            self._outlier.handle, self._do, clock=lambda: clock.now_s
        )
        self._destinations: dict[str, Destination] = {}
        self._until_s: EjectedUntil = {}
        self._ejected: frozenset[Named] = frozenset()
        self._imposed: Mapping[Named, on.Imposed] = {}
        self._recalled = dict(recalled)
        self._timer = Timer(
            clock,
            self._outlier.deadline,
            lambda: self.judge(on.TimePassed()),
            lambda: side.lives,
        )

    def recall(self) -> None:
        """Impose what the life before did, for a moment."""
        if self._recalled:
            self._side.handle(node_events.EndpointsJudged(self._recalled))
            self._side.after(SYNC_S, self._let_go)

    def participate(self, change: node_events.ParticipantsChanged) -> None:
        """These clusters take part."""
        self._destinations = {name: one.destination for name, one in change.clusters.items()}
        self.judge(on.DestinationsSeen(change.facts))
        self.look_at_envoy()

    def counted(
        self, outcomes: Mapping[tuple[str, Place], Outcomes], until_s: EjectedUntil
    ) -> None:
        """Envoy reports how requests ended, and what its own detector has ejected; by cluster."""
        found = {
            (self._destinations[cluster], place): row
            for (cluster, place), row in outcomes.items()
            if cluster in self._destinations
        }
        if until_s != self._until_s:
            self._until_s = until_s
            self._side.handle(node_events.EnvoyEjected(until_s))
        if found:
            self.judge(on.OutcomesCounted(found))

    def look_at_envoy(self) -> None:
        """What our Envoy leaves out without the mesh's word may be different."""
        ejected = frozenset(
            (self._destinations[cluster], place)
            for cluster, place in {*self._until_s, *self._side.held_ejections()}
            if cluster in self._destinations
        )
        if ejected != self._ejected:
            self._ejected = ejected
            self.judge(on.EnvoyEjects(ejected))

    def judge(self, event: on.Event) -> None:
        """Tell the core, and do what it says; events that this brings about come after it."""
        if self._turns.take(event):
            self._timer.arm()

    def _do(self, effect: on.Effect) -> None:
        if isinstance(effect, on.Impose):
            self._imposed = effect.imposed
            self._impose()
        elif isinstance(effect, on.Say):
            self._side.say(effect.topic, effect.page, effect.body)

    def _impose(self) -> None:
        imposed = {**self._recalled, **self._imposed}
        self._side.imposes(self._imposed, imposed)

    def _let_go(self) -> None:
        """What was imposed before a restart counts for a moment."""
        if not self._recalled:
            return
        rows = self._outlier.view(self._clock.now_s).endpoints
        waiting = {
            (row.destination, row.place) for row in rows if row.state is JudgementState.PENDING
        }
        if self._clock.now_s > self._began_s + SYNC_S + PENDING_MAX_S:
            waiting = set()
        kept = {at: word for at, word in self._recalled.items() if at in waiting}
        if kept != self._recalled:
            self._recalled = kept
            self._impose()
        self._side.after(LOOK_S, self._let_go)
