"""News to be told: one entry per subject, the least told first, each told so often and then dropped.

A newer entry about a subject takes the place of the older one. Entries are encoded messages of any kind; the key
says what they are about. Source: memberlist's broadcast queue; SWIM, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Dissemination"]


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
        self._count = 0
        self.dropped = 0
        """Entries lost to the bound."""

    def __len__(self) -> int:
        return len(self._news)

    def __contains__(self, key: str) -> bool:
        return key in self._news

    def put(self, key: str, encoded: bytes) -> None:
        """Tell this from now on, instead of what was told about the same subject."""
        self._count += 1
        if key not in self._news and len(self._news) >= self._entries_max:
            del self._news[
                max(self._news, key=lambda k: (self._news[k].told, -self._news[k].number))
            ]
            self.dropped += 1
        self._news[key] = _News(encoded, 0, self._count)

    def drop(self, key: str) -> None:
        """Tell nothing about this subject any more."""
        self._news.pop(key, None)

    def take(self, bytes_max: int, limit: int) -> list[bytes]:
        """Messages for one frame, greedily: least told first, newest first among equals.

        Args:
            bytes_max: Room in the frame.
            limit: Times that each entry is told; one that reaches it is dropped.
        """
        if not self._news:
            return []
        room = bytes_max
        taken: list[bytes] = []
        for key in sorted(self._news, key=lambda k: (self._news[k].told, -self._news[k].number)):
            news = self._news[key]
            if len(news.encoded) > room:
                continue
            room -= len(news.encoded)
            taken.append(news.encoded)
            news.told += 1
            if news.told >= limit:
                del self._news[key]
        return taken
