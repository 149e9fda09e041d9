"""One host's registration, by the rules of `sidecar.agent.registrar`: a lease, the key under it, again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sidecar.registration.record import OwnRecord
from store.keys import host_key
from store.snapshot import Entry
from tests.simulation.whole.store import Etcd, Lease, Link
from tests.simulation.world import World as Clock

__all__ = ["TTL_S", "Registering"]

TTL_S = 15.0
"""Life of the lease, as the daemon's default."""
RETRY_LONGEST_S = 5.0
"""As the registrar's."""


class Registering:
    """The registration of one process.

    Args:
        clock: The time.
        link: To etcd.
        record: What is registered.
        lives: Whether the process does.
    """

    def __init__(
        self, clock: Clock, link: Link, record: OwnRecord, lives: Callable[[], bool]
    ) -> None:
        self._clock, self._link, self._lives = clock, link, lives
        self.key, self._value = host_key(record.host), record.encode()
        self._lease = 0
        self._written: bytes | None = None
        self._written_revision = 0
        self._failures = 0
        self._is_busy = False
        self._turn = 0

    def begin(self) -> None:
        """Register, and stay so."""
        self._renew()

    def compare(self, entry: Entry | None, revision: int) -> None:
        """The store holds this under our key."""
        if self._written is None or revision < self._written_revision:
            return
        if entry is None:
            self._written = None
            self._renew()
        elif (entry.value, entry.lease) != (self._written, self._lease):
            self._written = None

    def _renew(self) -> None:
        if self._is_busy or not self._lives():
            return
        self._is_busy = True
        self._link.call(partial(self._served, self._lease), self._answered)

    def _served(self, lease: int, etcd: Etcd) -> tuple[int, bool, int]:
        """At the store: keep the lease or grant another, and write the key where that is due."""
        now_s = self._clock.now_s
        is_new = lease not in etcd.leases
        if is_new:
            etcd.leases_ever += 1
            lease = etcd.leases_ever
            etcd.leases[lease] = Lease(TTL_S, now_s)
        etcd.leases[lease].ends_s = now_s + TTL_S
        found = etcd.newest.get(self.key)
        is_same = found is not None and (found.value, found.lease) == (self._value, lease)
        if is_new or (self._written is None and not is_same):
            etcd.commit({self.key: self._value}, lease)
            return lease, is_new, etcd.revision
        return lease, is_new, found.mod_revision if found is not None else 0

    def _answered(self, answer: tuple[int, bool, int] | None) -> None:
        self._is_busy = False
        if not self._lives():
            return
        if answer is None:
            self._failures += 1
            ceiling = min(RETRY_LONGEST_S, 0.2 * 2 ** min(self._failures, 10))
            self._again(self._clock.rng.uniform(0.1, max(0.1, ceiling)))
            return
        self._failures = 0
        self._lease, _, self._written_revision = answer
        self._written = self._value
        self._again(TTL_S / 3)

    def _again(self, after_s: float) -> None:
        self._turn += 1
        turn = self._turn
        self._clock.at(
            self._clock.now_s + after_s, lambda: self._renew() if turn == self._turn else None
        )
