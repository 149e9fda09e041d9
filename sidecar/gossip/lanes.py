"""Fair shares: news of several classes in the same datagrams, so that none waits for the others to be told.

Each class has its own queue (`Dissemination`) and gets the same share of bytes while it has something to tell; what one
does not use goes to the others. The class that has been served least goes first and finds the whole datagram empty, so
that its longest piece fits; so does one that found no room in the last `_WAITED_MAX` datagrams, however little the
others tell. A class that was idle has saved nothing. Source: start-time fair queueing (Goyal, Vin, Cheng 1996);
memberlist#299 for what happens without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sidecar.gossip.dissemination import Dissemination

__all__ = ["Lane", "Lanes"]

_WAITED_MAX = 3
"""One round."""


class Lane(StrEnum):
    """The classes of news."""

    MEMBERS = "members"
    """Claims about members."""
    EVIDENCE = "evidence"
    """Records of that topic: the urgent ones."""
    WORDS = "words"
    """Records of the topics standing and overrides."""


@dataclass(slots=True)
class _Share:
    lane: Lane
    queue: Dissemination
    served_bytes: int = 0
    waited: int = 0
    """Datagrams in a row that had no room for it."""
    was_idle: bool = True


class Lanes:
    """The queues of all classes.

    Args:
        queues: Of each class its queue.
    """

    def __init__(self, queues: Mapping[Lane, Dissemination]) -> None:
        self._by_lane = {lane: _Share(lane, queue) for lane, queue in queues.items()}
        self._served_bytes = 0
        """What the class that was last served had been served: where an idle one begins."""

    def __len__(self) -> int:
        return sum(len(share.queue) for share in self._by_lane.values())

    def queue(self, lane: Lane) -> Dissemination:
        """The queue of a class."""
        return self._by_lane[lane].queue

    def counts(self) -> dict[Lane, int]:
        """Pieces of news still to be told, by class."""
        return {share.lane: len(share.queue) for share in self._by_lane.values()}

    def take(self, bytes_max: int, limit: int, now_s: float) -> list[bytes]:
        """Messages for one frame.

        Args:
            bytes_max: Room in the frame.
            limit: Times that each piece is told.
            now_s: For the ages of records.
        """
        for share in self._by_lane.values():
            if not share.queue:
                share.was_idle = True
            elif share.was_idle:
                share.was_idle = False
                share.served_bytes = max(share.served_bytes, self._served_bytes)
        waiting = {share.lane: share for share in self._by_lane.values() if share.queue}
        taken: list[bytes] = []
        told: dict[Lane, set[str]] = {lane: set() for lane in waiting}
        while waiting:
            share = self._next(waiting)
            key = share.queue.next_fitting(bytes_max, told[share.lane])
            if key is None:
                del waiting[share.lane]
                continue
            encoded = share.queue.tell(key, limit, now_s)
            told[share.lane].add(key)
            taken.append(encoded)
            bytes_max -= len(encoded)
            share.waited = 0
            self._served_bytes = share.served_bytes
            share.served_bytes += len(encoded)
        for lane, keys in told.items():
            if not keys:
                self._by_lane[lane].waited += 1
        return taken

    def _next(self, waiting: Mapping[Lane, _Share]) -> _Share:
        """Whose turn it is: who waited too long, else who was served least."""
        return min(
            waiting.values(), key=lambda share: (share.waited < _WAITED_MAX, share.served_bytes)
        )
