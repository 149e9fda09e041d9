"""News to be told: one entry per subject, the least told first, each told so often and then dropped.

A newer entry about a subject takes the place of the older one. Entries are encoded messages of any kind; the key
says what they are about; the age of a record is filled in when it goes. What a frame costs does not grow with the
number of entries: they are kept in order.
Source: memberlist's broadcast queue; SWIM, section 4.1.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Set
from dataclasses import dataclass

from sidecar.gossip.record_frames import AGE_BYTES, with_age

__all__ = ["Dissemination"]

_MISFITS_MAX = 32
"""Entries too long for what is left of a frame that are passed over while one that fits is looked for."""

_MUCH = 8
"""Entries beyond which what others know counts as told. One piece of news reaches everybody by being told so often; a
hundred at once are told sooner by leaving some out, and exchanges repair what is missed."""


@dataclass(slots=True)
class _News:
    encoded: bytes
    number: int
    said_s: float | None
    told: int = 0
    heard: int = 0

    @property
    def bytes(self) -> int:
        """Its size when it is told."""
        return len(self.encoded) + (0 if self.said_s is None else AGE_BYTES)


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

    def put(self, key: str, encoded: bytes, said_s: float | None = None) -> None:
        """Tell this from now on, instead of what was told about the same subject.

        Args:
            key: The subject.
            encoded: The message; of a record without its age.
            said_s: Of a record: when it was said; its age is told with it.
        """
        self.drop(key)
        if len(self._news) >= self._entries_max:
            _, _, most_told = self._order.pop()
            del self._news[most_told]
            self.dropped += 1
        self._count += 1
        self._news[key] = _News(encoded, self._count, said_s)
        insort(self._order, (0, -self._count, key))

    def drop(self, key: str) -> None:
        """Tell nothing about this subject any more."""
        news = self._news.pop(key, None)
        if news is not None:
            del self._order[bisect_left(self._order, (news.told, -news.number, key))]

    def heard(self, key: str, limit: int) -> None:
        """Somebody told us what we tell: while there is much to tell, tell it less often, but twice at least."""
        news = self._news.get(key)
        if news is not None and len(self._news) > _MUCH and news.heard < limit - 2:
            news.heard += 1
            if news.told + news.heard >= limit:
                self.drop(key)

    def take(self, bytes_max: int, limit: int) -> list[bytes]:
        """Messages for one frame, greedily: least told first, newest first among equals.

        Args:
            bytes_max: Room in the frame.
            limit: Times that each entry is told; one that reaches it is dropped.
        """
        taken: list[bytes] = []
        told: set[str] = set()
        while (key := self.next_fitting(bytes_max, told)) is not None:
            encoded = self.tell(key, limit)
            told.add(key)
            bytes_max -= len(encoded)
            taken.append(encoded)
        return taken

    def next_fitting(self, bytes_max: int, told: Set[str]) -> str | None:
        """The entry whose turn it is among those that fit and were not told in this frame."""
        misfits = 0
        for _, _, key in self._order:
            if key in told:
                continue
            if self._news[key].bytes <= bytes_max:
                return key
            misfits += 1
            if misfits >= _MISFITS_MAX:
                break
        return None

    def tell(self, key: str, limit: int, now_s: float = 0.0) -> bytes:
        """The entry as it is to be sent now, counted as told."""
        news = self._news[key]
        del self._order[bisect_left(self._order, (news.told, -news.number, key))]
        news.told += 1
        if news.told + news.heard >= limit:
            del self._news[key]
        else:
            insort(self._order, (news.told, -news.number, key))
        if news.said_s is None:
            return news.encoded
        return with_age(news.encoded, now_s - news.said_s)
