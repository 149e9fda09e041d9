"""How long each revision took from its arrival to being in force in Envoy."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Convergence"]

WAITING_MAX = 1024
"""Revisions remembered while Envoy is away; beyond it the oldest are forgotten."""


class Convergence:
    """Arrivals that are not in force yet, by label (epoch and revision), oldest first."""

    def __init__(self) -> None:
        self._arrived_at_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._arrived_at_s)

    def arrived(self, label: str, now_s: float) -> None:
        """A snapshot arrived."""
        self._arrived_at_s.setdefault(label, now_s)
        while len(self._arrived_at_s) > WAITING_MAX:
            del self._arrived_at_s[next(iter(self._arrived_at_s))]

    def in_force(self, label: str, now_s: float) -> Iterator[float]:
        """Seconds that `label`, and every one that arrived before it, took; each is told once."""
        if label not in self._arrived_at_s:
            return
        for known, at_s in list(self._arrived_at_s.items()):
            del self._arrived_at_s[known]
            yield now_s - at_s
            if known == label:
                return
