"""Peers that are left alone for a while: they failed, were busy, or sent something wrong."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.relay.voice import Voice

__all__ = ["Backoffs"]

_PEERS_MAX = 10_000
_TRIES_MAX = 16


class Backoffs:
    """Until when each peer is left alone. Failures in a row double the time; a success ends it."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._until_s: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    def fail(self, node: str, now_s: float, least_s: float) -> float:
        """Leave a peer alone: at least so long, doubled with each failure before. Returns for how long."""
        tries = min(self._tries.pop(node, 0) + 1, _TRIES_MAX)
        self._tries[node] = tries
        pause_s: float = min(
            self._voice.settings.backoff_max_s, least_s * float(2 ** (tries - 1))
        ) * self._voice.rng.uniform(0.8, 1.2)
        self.pause(node, now_s, pause_s)
        return pause_s

    def pause(self, node: str, now_s: float, pause_s: float) -> None:
        """Leave a peer alone for so long; it has done nothing wrong."""
        self._until_s[node] = max(self._until_s.get(node, 0.0), now_s + pause_s)
        if len(self._until_s) > _PEERS_MAX:
            oldest = next(iter(self._until_s))
            del self._until_s[oldest]
            self._tries.pop(oldest, None)

    def succeeded(self, node: str) -> None:
        """A peer did what was asked of it."""
        self._until_s.pop(node, None)
        self._tries.pop(node, None)

    def is_free(self, node: str, now_s: float) -> bool:
        """Whether it may be asked now."""
        return now_s >= self._until_s.get(node, 0.0)

    def first_free_s(self, nodes: Iterable[str]) -> float | None:
        """When the first of these may be asked; None when there is none of them."""
        return min((self._until_s.get(node, 0.0) for node in nodes), default=None)

    def active(self, now_s: float) -> tuple[tuple[str, float], ...]:
        """Who is left alone now, with the seconds that remain."""
        rows = ((node, until - now_s) for node, until in self._until_s.items() if until > now_s)
        return tuple(sorted(rows))
