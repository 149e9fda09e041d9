"""The nearest known spelling of a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "nearest_hint"]

_LONGEST = 60
"""Longer words are not compared: no name of ours is that long, and comparison takes quadratic time."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name of `known` that `word` most likely stands for, or None when none is near.

    Case, underscores and hyphens do not count: `virtual_service` is near to `VirtualService`.
    """
    if not word or len(word) > _LONGEST:
        return None
    by_folded: dict[str, str] = {}
    for name in known:
        by_folded.setdefault(_folded(name), name)
    folded = _folded(word)
    if folded in by_folded:
        return by_folded[folded]
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.66)
    return by_folded[close[0]] if close else None


def nearest_hint(word: str, known: Iterable[str]) -> str:
    """`did you mean "X"?` for the nearest name, or the empty string."""
    name = nearest(word, known)
    return f'did you mean "{name}"?' if name is not None else ""


def _folded(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()
