"""How long to wait before the next try: longer with each failure, never in step with others, bounded."""

from __future__ import annotations

import random

__all__ = ["pause_s"]

FIRST_S = 0.1
"""Shortest pause."""
DOUBLINGS_MAX = 10
"""After so many failures the ceiling no longer grows: an outage of days must not overflow a float."""


def pause_s(failures: int, longest_s: float) -> float:
    """A random pause between 0.1 s and a ceiling that doubles with each failure from 0.4 s up to `longest_s`."""
    ceiling = min(longest_s, 0.2 * 2 ** min(failures, DOUBLINGS_MAX))
    return random.uniform(FIRST_S, max(FIRST_S, ceiling))
