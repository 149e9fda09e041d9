"""How patient the Mirror is, and how it waits. Times are seconds of a monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Jitter", "MirrorSettings", "Patience", "Silence"]


class Jitter(Protocol):
    """A seeded source of randomness (`random.Random`)."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between `a` and `b`."""


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """The Mirror's patience; the defaults were measured."""

    heartbeat_s: float = 5.0
    """A progress notification is asked for this often; oftener than 5 s etcd takes for abuse."""
    silence_s: float = 10.0
    """A stream that says nothing for so long is dead."""
    opening_s: float = 5.0
    """One that was asked for is answered at once, or not at all: the member is frozen, or the way leads nowhere."""
    backoff_min_s: float = 0.1
    """Shortest pause before the next try."""
    backoff_max_s: float = 3.0
    """Longest pause before the next try, where few hosts are registered."""
    crowd_hosts: int = 100
    """More registered hosts than these wait longer in proportion: they all lose the same etcd."""
    backoff_crowded_s: float = 10.0
    """Longest pause however many hosts there are."""
    confirm_s: float = 3.0
    """Pause before the second reading that must confirm that most of a kind is gone."""
    compare_s: float = 300.0
    """The store's keys are compared with the snapshot this often (give or take a fifth)."""
    settle_s: float = 5.0
    """A difference that stands for so long is no event on its way."""
    held_poll_s: float = 30.0
    """While an epoch is held, the store is looked at this often (give or take a fifth)."""
    resync_pause_s: float = 1.0
    """A second compaction within this time waits for the back-off instead of being answered at once."""


class Patience:
    """How long to wait before the next try, with full jitter so that no herd forms."""

    def __init__(self, jitter: Jitter, settings: MirrorSettings) -> None:
        self.settings = settings
        self._jitter = jitter
        self._tries = 0

    def pause_s(self, hosts: int = 0) -> float:
        """Anywhere between the shortest pause and a ceiling that doubles with each try since `reset`.

        Args:
            hosts: How many hosts are registered, each of which may be waiting for the same etcd.
        """
        self._tries = min(self._tries + 1, 16)
        settings = self.settings
        least, most = settings.backoff_min_s, settings.backoff_max_s
        if hosts > settings.crowd_hosts:
            crowded = min(most * hosts / settings.crowd_hosts, settings.backoff_crowded_s)
            most = max(most, crowded)
        return self._jitter.uniform(least, min(most, least * 2**self._tries))

    def reset(self) -> None:
        """The way is good again."""
        self._tries = 0

    def about(self, seconds: float) -> float:
        """`seconds`, give or take a fifth."""
        return seconds * self._jitter.uniform(0.8, 1.2)

    def within(self, seconds: float) -> float:
        """Anything up to `seconds`."""
        return self._jitter.uniform(0.0, seconds)


@dataclass(slots=True)
class Silence:
    """How long a stream may say nothing, counted from its opening or its last word."""

    allowed_s: float = 0.0
    ends_s: float = 0.0
    """When it is taken for dead, unless it speaks."""

    def allow(self, allowed_s: float, now_s: float) -> None:
        """It was opened, or spoke."""
        self.allowed_s, self.ends_s = allowed_s, now_s + allowed_s
