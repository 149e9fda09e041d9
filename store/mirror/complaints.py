"""What is said of a store that fails again and again: each reason once, and a denial for what it is."""

from __future__ import annotations

from store.mirror.events import Failure, FailureKind, Severity

__all__ = ["Complaints"]


class Complaints:
    """Counts denials since the store was followed last."""

    def __init__(self) -> None:
        self._denials = 0

    def weigh(self, failure: Failure, *, is_news: bool) -> Severity | None:
        """How to report a failure; None: not again.

        The first denial may mean an expired token; a second one, after a new login, means what it says.
        """
        if failure.kind is not FailureKind.DENIED:
            return Severity.WARNING if is_news else None
        self._denials += 1
        return {1: Severity.WARNING, 2: Severity.ERROR}.get(self._denials)

    def end(self) -> None:
        """The store is followed."""
        self._denials = 0
