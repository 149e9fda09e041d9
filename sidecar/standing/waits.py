"""Who is still waited for, and when to ask those directly. Pure.

Gossip spaces out what a host says of its configuration, so that a change does not flood a large mesh. While somebody
waits, members that have not confirmed are asked themselves: soon, then less and less often, so many at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.standing.progress import Progress

__all__ = ["ASKED_MAX", "FIRST_ASK_S", "Wait", "earliest"]

FIRST_ASK_S = 0.05
"""How long gossip may bring the answers by itself: a change is in force after some milliseconds."""
ASK_AGAIN_S = 0.2
"""Between the first two rounds of questions."""
ASK_AGAIN_S_MAX = 2.0
"""Between two rounds, later."""
ASK_AGAIN_FACTOR = 1.5
ASKED_MAX = 48
"""Members asked in one round: some 50 datagrams there and back, whatever the size of the mesh."""


@dataclass(slots=True)
class Wait:
    """One question: is this revision in force everywhere?"""

    revision: int
    cluster_id: int | None
    """The etcd that it is of; None: the one that this host follows."""
    ask_at_s: float
    """When to ask next."""
    pending: dict[str, Progress] = field(default_factory=dict)
    """Members that do not have it yet, and where they are."""
    met: set[str] = field(default_factory=set)
    """Members that have it."""
    gone: set[str] = field(default_factory=set)
    """Members that died or left while they were waited for."""
    is_met: bool = False
    """Whether it was said that all have it."""
    _pause_s: float = ASK_AGAIN_S
    _asked_last: str = ""

    def judge(self, node: str, found: Progress) -> None:
        """Where a member is now."""
        self.gone.discard(node)
        if found is Progress.IN_FORCE:
            self.pending.pop(node, None)
            self.met.add(node)
        else:
            self.met.discard(node)
            self.pending[node] = found

    def lose(self, node: str) -> None:
        """A member is not held alive any more: it is not waited for."""
        if node in self.pending or node in self.met:
            self.gone.add(node)
        self.pending.pop(node, None)
        self.met.discard(node)

    def due(self, node: str, now_s: float) -> tuple[str, ...]:
        """Whom `node` is to ask now; none before the time has come. Takes turns where there are too many."""
        if now_s < self.ask_at_s or self.is_met:
            return ()
        others = sorted(one for one in self.pending if one != node)
        asked = [one for one in others if one > self._asked_last][:ASKED_MAX]
        if not asked:
            asked = others[:ASKED_MAX]
        self._asked_last = asked[-1] if asked else ""
        pause_s = ASK_AGAIN_S
        if not asked or asked[-1] == others[-1]:  # everybody was asked: from now on less often
            pause_s = self._pause_s
            self._pause_s = min(self._pause_s * ASK_AGAIN_FACTOR, ASK_AGAIN_S_MAX)
        self.ask_at_s = now_s + pause_s
        return tuple(asked)


def earliest(waits: Mapping[int, Wait]) -> float | None:
    """When the next of them has somebody to ask; None when none has."""
    return min(_times(waits.values()), default=None)


def _times(waits: Iterable[Wait]) -> Iterable[float]:
    return (wait.ask_at_s for wait in waits if not wait.is_met)
