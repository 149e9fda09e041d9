"""What one sidecar tells the others of its configuration, and hears of theirs (`sidecar.agent.mesh_wide`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sidecar.gossip.records import Topic
from sidecar.standing import events as on
from sidecar.standing.model import Standing
from sidecar.standing.standings import Standings
from tests.simulation.whole.timing import Timer
from tests.simulation.world import World as Clock

__all__ = ["Side", "Telling"]

LOOK_AGAIN_S = 2.0
"""As `sidecar.agent.mesh_wide.LOOK_AGAIN_S`."""


class Side(Protocol):
    """What it needs of its sidecar."""

    @property
    def lives(self) -> bool:
        """Whether the process does."""

    def own_standing(self) -> Standing:
        """How it is."""

    def say(self, topic: Topic, page: int, body: bytes) -> None:
        """Tell the mesh."""

    def after(self, pause_s: float, action: Callable[[], None]) -> None:
        """Do this later, if it lives then."""


class Telling:
    """The core of standings, told whenever its own may be different.

    Args:
        name: The host.
        clock: The time.
        side: Its sidecar.
    """

    def __init__(self, name: str, clock: Clock, side: Side) -> None:
        self._clock, self._side = clock, side
        self._standings = Standings(name)
        self._said: Standing | None = None
        self._is_due = False
        self._timer = Timer(
            clock,
            self._standings.deadline,
            lambda: self.heard(on.TimePassed()),
            lambda: side.lives,
        )

    def begin(self) -> None:
        """Look now and then, whatever is told."""
        self._side.after(LOOK_AGAIN_S, self._look_again)

    def changed(self) -> None:
        """Anything of our own standing may be different."""
        if not self._is_due:
            self._is_due = True
            self._side.after(0.0, self._look)

    def heard(self, event: on.Event) -> None:
        """Tell the core."""
        for effect in self._standings.handle(event, self._clock.now_s):
            if isinstance(effect, on.Say):
                self._side.say(Topic.STANDING, 0, effect.body)
        self._timer.arm()

    def _look_again(self) -> None:
        self.changed()
        self._side.after(LOOK_AGAIN_S, self._look_again)

    def _look(self) -> None:
        self._is_due = False
        own = self._side.own_standing()
        if own != self._said:
            self._said = own
            self.heard(on.OwnChanged(own))
