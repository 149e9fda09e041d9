"""Whether a field is in force, by its path: the answer of `meshd explain` and of docs/fields.md.

Taken from the table of what is not (`support.py`), so that the warning of `put` and the page say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from store.objects.kinds import Kind
from store.validation.support import NOT_IN_FORCE, NOT_IN_ISTIO, Unsupported

__all__ = ["Exempt", "Standing", "Verdict", "verdict_of"]


class Standing(StrEnum):
    """What becomes of a field."""

    IN_FORCE = "in force"
    STORED = "stored only"
    NOT_UPSTREAM = "Istio itself does not implement it"


@dataclass(frozen=True, slots=True)
class Exempt:
    """A value that has no effect though its field is in force."""

    value: str
    """The value."""
    standing: Standing
    """Whether it is ours to mend."""
    reason: str
    """As in `Verdict`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one field."""

    standing: Standing
    """Whether it is in force."""
    reason: str = ""
    """What of it is not, or what to use instead; empty where there is nothing to say."""
    values: tuple[Exempt, ...] = ()
    """Values that have no effect though the field has."""


def verdict_of(kind: Kind, path: str) -> Verdict:
    """The verdict on a field.

    Args:
        kind: The kind of the object.
        path: Place in the object, `spec.http[].match[].headers{}.exact`; a mark at its end is passed over.
    """
    plain = _plain(path)
    values = []
    for standing, place, row in _rows(kind):
        if row.values:
            if place == plain:
                values += [Exempt(str(value), standing, _reason(row)) for value in row.values]
        elif plain == place or plain.startswith(f"{place}."):
            return Verdict(standing, _reason(row))
    return Verdict(Standing.IN_FORCE, values=tuple(values))


def _reason(row: Unsupported) -> str:
    return "; ".join(part for part in (row.effect, row.instead) if part)


@cache
def _rows(kind: Kind) -> tuple[tuple[Standing, str, Unsupported], ...]:
    tables = ((Standing.STORED, NOT_IN_FORCE), (Standing.NOT_UPSTREAM, NOT_IN_ISTIO))
    return tuple(
        (standing, _plain(path), row)
        for standing, table in tables
        for row in table
        if row.kind is kind
        for path in row.paths
    )


def _plain(path: str) -> str:
    """A path without marks of lists and maps."""
    return path.replace("[*]", "").replace("[]", "").replace("{}", "")
