"""What servers can be trusted with, by their version, and what their words mean."""

from __future__ import annotations

import re

from store.mirror.events import Failure, FailureKind

__all__ = ["cancellation", "progress_is_a_bookmark"]


def progress_is_a_bookmark(version: str) -> bool:
    """Whether a progress notification means that all events up to its revision were delivered.

    Before 3.4.25 and 3.5.8 it could overtake them (etcd#15220); there it is a sign of life and nothing else.
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor, patch = (int(part) for part in found.groups())
    if (major, minor) == (3, 4):
        return patch >= 25
    if (major, minor) == (3, 5):
        return patch >= 8
    return (major, minor) >= (3, 6)


def cancellation(reason: str) -> Failure:
    """What it means that a watch was canceled for `reason` (which may be empty)."""
    lowered = reason.lower()
    if any(word in lowered for word in ("permission denied", "auth", "token")):
        return Failure(FailureKind.DENIED, reason)
    return Failure(FailureKind.OTHER, reason or "the watch was canceled without a reason")
