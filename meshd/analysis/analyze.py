"""The one question: what is wrong in the mesh as it would be."""

from __future__ import annotations

from collections.abc import Sequence

from meshd.analysis.checks import CHECKS
from meshd.analysis.world import World
from meshd.analysis.written import Written
from sidecar.mesh.source import ObjectSource
from store.diagnostics import Diagnostic

__all__ = ["analyze"]


def analyze(
    written: Sequence[Written] = (),
    stored: ObjectSource | None = None,
    *,
    is_whole: bool = True,
) -> list[Diagnostic]:
    """What is wrong across objects, sorted.

    With objects to be written: every problem of theirs, and of the other objects those that come with them. Without:
    every problem of what is stored.

    Args:
        written: Objects about to be written, read as if they were in force.
        stored: The objects and registrations in force; None when they are not known: then nothing is said to be
            missing that may be there.
        is_whole: Whether `stored` is everything; where it is a part, nothing is said to be missing either.
    """
    found = _found(World(stored, written, is_whole=is_whole))
    if written and stored is not None:
        about = {str(one.ref) for one in written}
        others = {problem for problem in found if problem.object not in about}
        if others:
            found -= others & _found(World(stored, is_whole=is_whole))
    return sorted(found)


def _found(world: World) -> set[Diagnostic]:
    return {problem for check in CHECKS for problem in check(world)}
