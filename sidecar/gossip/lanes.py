"""Fair shares: news of several classes in the same datagrams, so that none waits for the others to be told.

Each class has its own queue (`Dissemination`) and gets the same share of bytes while it has something to tell; what one
does not use goes to the others. The class that has been served least goes first and finds the whole datagram empty, so
that its longest piece fits. A class that was idle has saved nothing. Source: start-time fair queueing (Goyal, Vin,
Cheng 1996); memberlist#299 for what happens without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sidecar.gossip.dissemination import Dissemination

__all__ = ["Lane", "Lanes"]


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
    was_idle: bool = True


class Lanes:
    """The queues of all classes.

    Args:
        queues: Of each class its queue.
    """

    def __init__(self, queues: Mapping[Lane, Dissemination]) -> None:
        self._queues = dict(queues)
        self._shares = [_Share(lane, queue) for lane, queue in queues.items()]
        self._served_bytes = 0
        """What the class that was last served had been served: where an idle one begins."""

    def __len__(self) -> int:
        return sum(len(share.queue) for share in self._shares)

    def queue(self, lane: Lane) -> Dissemination:
        """The queue of a class."""
        return self._queues[lane]

    def counts(self) -> dict[Lane, int]:
        """Pieces of news still to be told, by class."""
        return {share.lane: len(share.queue) for share in self._shares}

    def take(self, bytes_max: int, limit: int, now_s: float) -> list[bytes]:
        """Messages for one frame.

        Args:
            bytes_max: Room in the frame.
            limit: Times that each piece is told.
            now_s: For the ages of records.
        """
        for share in self._shares:
            if not share.queue:
                share.was_idle = True
            elif share.was_idle:
                share.was_idle = False
                share.served_bytes = max(share.served_bytes, self._served_bytes)
        waiting = {share.lane: share for share in self._shares if share.queue}
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
            self._served_bytes = share.served_bytes
            share.served_bytes += len(encoded)
        return taken

    def _next(self, waiting: Mapping[Lane, _Share]) -> _Share:
        """Whose turn it is: of those with the least, the first."""
        return min(waiting.values(), key=lambda share: share.served_bytes)
