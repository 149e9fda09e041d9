"""Who sees two objects at once: conflicts matter only where some namespace does."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["common_namespace"]

ANY_NAMESPACE = ""
"""Stands for a namespace that no object names."""


def common_namespace(one: Sequence[str], other: Sequence[str]) -> str | None:
    """A namespace that sees both of two resolved export lists; None when none does.

    Where both are exported to all, the empty name: a namespace with nothing of its own.
    """
    if "*" in one and "*" in other:
        return ANY_NAMESPACE
    if "*" in one:
        return next((name for name in other if name != "~"), None)
    if "*" in other:
        return next((name for name in one if name != "~"), None)
    return next((name for name in one if name in other and name != "~"), None)
