"""Whether a field is in force, by its path: the answer of `meshd explain` and of docs/fields.md.

Taken from the table of what is not (`support.py`), so that the warning of `put` and the page say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from store.objects.kinds import Kind
from store.validation.support import NOT_IN_FORCE, Unsupported

__all__ = ["Standing", "Verdict", "verdict_of"]


class Standing(StrEnum):
    """What becomes of a field."""

    IN_FORCE = "in force"
    STORED = "stored only"
    NOT_UPSTREAM = "Istio itself does not implement it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one field."""

    standing: Standing
    """Whether it is in force."""
    reason: str = ""
    """What of it is not, or what to use instead; empty where there is nothing to say."""
    values: tuple[tuple[str, str], ...] = ()
    """Values that have no effect though the field has: each with its reason."""


def verdict_of(kind: Kind, path: str) -> Verdict:
    """The verdict on a field.

    Args:
        kind: The kind of the object.
        path: Place in the object, `spec.http[].match[].headers{}.exact`; a mark at its end is passed over.
    """
    plain = _plain(path)
    whole, values = None, []
    for place, row in _rows(kind):
        if row.values:
            if place == plain:
                values += [(str(value), _reason(row)) for value in row.values]
        elif plain == place or plain.startswith(f"{place}."):
            whole = row
    if whole is None:
        return Verdict(Standing.IN_FORCE, values=tuple(values))
    standing = Standing.NOT_UPSTREAM if whole.upstream else Standing.STORED
    return Verdict(standing, _reason(whole))


def _reason(row: Unsupported) -> str:
    return "; ".join(part for part in (row.effect, row.instead) if part)


@cache
def _rows(kind: Kind) -> tuple[tuple[str, Unsupported], ...]:
    return tuple(
        (_plain(path), row) for row in NOT_IN_FORCE if row.kind is kind for path in row.paths
    )


def _plain(path: str) -> str:
    """A path without marks of lists and maps."""
    return path.replace("[*]", "").replace("[]", "").replace("{}", "")
