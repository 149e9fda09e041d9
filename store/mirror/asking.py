"""What the Mirror asks of its shell: reads and streams have numbers, so that late answers are known as such."""

from __future__ import annotations

from store.mirror import events as on
from store.mirror.status import Counters

__all__ = ["Asking"]


class Asking:
    """At most one read is waited for, and at most one stream is open.

    Args:
        counters: Counts them.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._request = self._stream = 0
        self._pending: int | None = None
        self._has_stream = False
        self.effects: list[on.Effect] = []
        """What is asked for, and whatever else is to be done, in order."""

    @property
    def is_reading(self) -> bool:
        """Whether a read is waited for."""
        return self._pending is not None

    def is_awaited(self, request: int) -> bool:
        """Whether this is the read that is waited for."""
        return request == self._pending

    def is_latest(self, stream: int) -> bool:
        """Whether this is the stream opened last, be it open or not."""
        return stream == self._stream

    def is_open(self, stream: int) -> bool:
        """Whether this is the stream that is open."""
        return self._has_stream and stream == self._stream

    def read_everything(self) -> None:
        """Ask for all keys and values."""
        self._counters.lists += 1
        self.effects.append(on.List(self._next_request()))

    def read_keys(self) -> None:
        """Ask for all keys with their revisions."""
        self._counters.comparisons += 1
        self.effects.append(on.ListKeysOnly(self._next_request()))

    def read_key(self, key: str, revision: int) -> None:
        """Ask for one key as it was at a revision."""
        self.effects.append(on.ReadKey(self._next_request(), key, revision))

    def answered(self) -> None:
        """The read that was waited for has ended."""
        self._pending = None

    def open_watch(self, from_revision: int) -> None:
        """Ask for a stream of what happens from a revision on."""
        self._counters.streams += 1
        self._stream += 1
        self._has_stream = True
        self.effects.append(on.OpenWatch(self._stream, from_revision))

    def request_progress(self) -> None:
        """Ask for a sign of life on the stream."""
        self.effects.append(on.RequestProgress(self._stream))

    def close(self) -> None:
        """Close the stream, and wait for no read."""
        if self._has_stream:
            self.effects.append(on.CloseWatch(self._stream))
        self.forget()

    def forget(self) -> None:
        """Wait neither for the stream, which has broken, nor for a read."""
        self._has_stream, self._pending = False, None

    def report(
        self, name: str, severity: on.Severity = on.Severity.INFO, **facts: str | int
    ) -> None:
        """Have something said."""
        self.effects.append(on.Report(name, severity, facts))

    def _next_request(self) -> int:
        self._request += 1
        self._pending = self._request
        return self._request
