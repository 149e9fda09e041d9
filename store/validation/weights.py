"""Weights of the destinations of a rule."""

from __future__ import annotations

from collections.abc import Sequence

from store.diagnostics import Path
from store.validation.findings import Findings

__all__ = ["check_weights"]


def check_weights(weights: Sequence[int], at: Path, found: Findings) -> None:
    """None may be negative, and of several not all may be 0; any sum is fine.

    Args:
        weights: The weights in order, 0 where none is given.
        at: The list of destinations.
        found: Where problems go.
    """
    for index, weight in enumerate(weights):
        if weight < 0:
            message = f"a weight is 0 or more, found {weight}"
            found.add("MESH0334", (*at, index, "weight"), message)
    if len(weights) > 1 and sum(weights) == 0:
        message = "the weights of several destinations must not all be 0"
        found.add("MESH0334", at, message, "give each destination its weight", at_key=True)
