"""What must hold at any time, as objects that see every effect of every host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sidecar.gossip import Status
from sidecar.gossip import events as on
from sidecar.gossip.frames import BODY_BYTES_MAX

if TYPE_CHECKING:
    from tests.simulation.world import Host, World

__all__ = ["Checker", "NobodyDies", "OnlySubjectsRaise", "SmallDatagrams"]


class Checker(Protocol):
    """Sees effects."""

    def saw(self, world: World, host: Host, effect: on.Effect) -> None:
        """An effect, before it is done."""


class NobodyDies:
    """No host that runs is declared dead by one that is not excused."""

    def __init__(self, *, excused: frozenset[str] = frozenset()) -> None:
        self.excused = excused
        self.deaths: list[str] = []
        self.suspicions = 0

    def saw(self, world: World, host: Host, effect: on.Effect) -> None:
        if not isinstance(effect, on.MemberChanged):
            return
        subject = effect.identity.node
        if effect.after is Status.SUSPECT:
            self.suspicions += 1
        lives = subject in world.hosts and world.hosts[subject].runs
        excused = subject in self.excused or host.name in self.excused
        if effect.after is Status.DEAD and lives and not excused:
            self.deaths.append(f"{world.now_s:.3f} {host.name} holds {subject} dead")


class OnlySubjectsRaise:
    """No host tells of an incarnation above the one that its subject has taken (requirement 15)."""

    def __init__(self) -> None:
        self.violations: list[str] = []

    def saw(self, world: World, host: Host, effect: on.Effect) -> None:
        if not isinstance(effect, on.MemberChanged):
            return
        subject = world.hosts.get(effect.identity.node)
        if subject is None:
            return
        view = subject.core.snapshot()
        if view.identity == effect.identity and effect.incarnation > view.incarnation:
            self.violations.append(f"{host.name} holds {effect.identity} at {effect.incarnation}")


class SmallDatagrams:
    """No datagram is longer than allowed (requirement 31)."""

    def __init__(self) -> None:
        self.longest = 0

    def saw(self, world: World, host: Host, effect: on.Effect) -> None:
        if isinstance(effect, on.SendDatagram):
            self.longest = max(self.longest, len(effect.body))
            assert len(effect.body) <= BODY_BYTES_MAX
