"""Snapshots that Envoy is to have in force, remembered by their labels until it says that it has."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from store.catalog.parts import CatalogMemory
from store.snapshot import Snapshot

__all__ = ["InForceMark", "Marks", "label_of"]

WAITING_LABELS_MAX = 1024
"""Snapshots remembered until Envoy has them in force, as many as the session remembers labels; beyond it the oldest
are forgotten. They share what is equal, so each costs what it changed."""


@dataclass(frozen=True, slots=True)
class InForceMark:
    """A snapshot that is, or is to be, in force."""

    label: str
    snapshot: Snapshot
    memory: CatalogMemory
    is_judged: bool = True
    """Whether every object in it was found valid that `memory` does not name."""


def label_of(snapshot: Snapshot) -> str:
    """How the state made from a snapshot is called."""
    return f"{snapshot.epoch}@{snapshot.revision}"


class Marks:
    """What waits, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, InForceMark] = {}

    @property
    def labels(self) -> Container[str]:
        """What waits, with the one that was reached last."""
        return self._waiting.keys()

    def remember(self, mark: InForceMark) -> None:
        """This is the newest; one of the same label is forgotten."""
        self._waiting.pop(mark.label, None)
        self._waiting[mark.label] = mark
        while len(self._waiting) > WAITING_LABELS_MAX:
            del self._waiting[next(iter(self._waiting))]

    def reach(self, label: str) -> InForceMark | None:
        """The state of this label is in force, so older ones are forgotten; None where it is not known."""
        mark = self._waiting.get(label)
        if mark is not None:
            waiting = list(self._waiting)
            for older in waiting[: waiting.index(label)]:
                del self._waiting[older]
        return mark
