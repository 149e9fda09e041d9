"""News to be told: one entry per subject, the least told first, each told so often and then dropped.

A newer entry about a subject takes the place of the older one. Entries are encoded messages of any kind; the key
says what they are about. What a frame costs does not grow with the number of entries: they are kept in order.
Source: memberlist's broadcast queue; SWIM, section 4.1.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

__all__ = ["Dissemination"]

_MISFITS_MAX = 32
"""Entries too long for what is left of a frame that are passed over while one that fits is looked for."""


@dataclass(slots=True)
class _News:
    encoded: bytes
    told: int
    number: int


class Dissemination:
    """The queue.

    Args:
        entries_max: Entries held at most; beyond, the most told one is dropped (anti-entropy repairs that).
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._news: dict[str, _News] = {}
        self._order: list[tuple[int, int, str]] = []
        """Times told, number (negative: the newest first) and key of each entry, sorted."""
        self._count = 0
        self.dropped = 0
        """Entries lost to the bound."""

    def __len__(self) -> int:
        return len(self._news)

    def __contains__(self, key: str) -> bool:
        return key in self._news

    def put(self, key: str, encoded: bytes) -> None:
        """Tell this from now on, instead of what was told about the same subject."""
        self.drop(key)
        if len(self._news) >= self._entries_max:
            _, _, most_told = self._order.pop()
            del self._news[most_told]
            self.dropped += 1
        self._count += 1
        self._news[key] = _News(encoded, 0, self._count)
        insort(self._order, (0, -self._count, key))

    def drop(self, key: str) -> None:
        """Tell nothing about this subject any more."""
        news = self._news.pop(key, None)
        if news is not None:
            del self._order[bisect_left(self._order, (news.told, -news.number, key))]

    def take(self, bytes_max: int, limit: int) -> list[bytes]:
        """Messages for one frame, greedily: least told first, newest first among equals.

        Args:
            bytes_max: Room in the frame.
            limit: Times that each entry is told; one that reaches it is dropped.
        """
        room = bytes_max
        taken: list[tuple[int, int, str]] = []
        passed_over: list[tuple[int, int, str]] = []
        for place in self._order:
            encoded = self._news[place[2]].encoded
            if len(encoded) <= room:
                room -= len(encoded)
                taken.append(place)
            else:
                passed_over.append(place)
                if len(passed_over) >= _MISFITS_MAX:
                    break
        self._order[: len(taken) + len(passed_over)] = passed_over
        return [self._told(place, limit) for place in taken]

    def _told(self, place: tuple[int, int, str], limit: int) -> bytes:
        """Note that an entry, taken out of the order, was told; where it is to be told again, put it back."""
        told, number, key = place
        news = self._news[key]
        news.told = told + 1
        if news.told >= limit:
            del self._news[key]
        else:
            insort(self._order, (news.told, number, key))
        return news.encoded
