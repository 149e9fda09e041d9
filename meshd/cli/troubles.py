"""Troubles of hosts: what is not as it should be, how bad it is, and which host comes first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

__all__ = ["Judged", "Severity", "Trouble", "duration", "worst_first", "worst_of"]


class Severity(IntEnum):
    """How bad a trouble is."""

    NOTE = 1
    """To know; all is well nevertheless."""
    DEGRADED = 2
    """Traffic flows by what is in force; changes, or some of them, do not arrive."""
    BROKEN = 3
    """Traffic is, or may be, not served as it should be."""
    GONE = 4
    """The sidecar cannot even be asked."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be."""

    severity: Severity
    """How bad it is."""
    text: str
    """What it is, in one line."""
    details: tuple[str, ...] = ()
    """Reasons and what to do, a line each."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON."""
        return {
            "severity": self.severity.name.lower(),
            "text": self.text,
            "details": list(self.details),
        }


class Judged(Protocol):
    """One host, judged: a sidecar of this machine, or another by what it told the mesh."""

    @property
    def node(self) -> str:
        """Its node id."""
        ...

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Worst first."""
        ...

    @property
    def severity(self) -> int:
        """The worst of its troubles."""
        ...

    @property
    def is_well(self) -> bool:
        """Whether nothing is degraded."""
        ...

    def as_json(self) -> dict[str, Any]:
        """What it said, with our judgement."""
        ...

    def cells(self, newest: int = 0) -> list[str]:
        """The row of the table."""
        ...

    def wide_cells(self) -> list[str]:
        """More columns."""
        ...


def worst_first(hosts: Sequence[Judged]) -> list[Judged]:
    """Sorted by the worst trouble, then by name."""
    return sorted(hosts, key=lambda one: (-one.severity, -len(one.troubles), one.node))


def worst_of(troubles: Sequence[Trouble]) -> int:
    """The greatest severity among them; 0 where there are none."""
    return max((int(trouble.severity) for trouble in troubles), default=0)


def duration(seconds: float) -> str:
    """Seconds in two units at most, as people say them: `850ms`, `12s`, `4m 5s`, `2h 10m`, `3d 4h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    left = int(seconds)
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for unit, size in units:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count}{unit}" for count, unit in parts[:2] if count)
