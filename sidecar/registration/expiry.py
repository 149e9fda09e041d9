"""Which registrations are in force, when that a registration ran out is only evidence.

    ABSENT ──seen──> PRESENT ──deleted after draining or withdrawn──> ABSENT
                        │  ^
            deleted bare│  │seen again
                        v  │
                       KEPT ──grace over, nothing spoke for it, no guard──> ABSENT

A bare deletion means that a lease ran out. The host's serving workloads stay in force for a grace period,
which begins anew whenever requests to it succeed or gossip holds it alive. After that they go one by one, but
never a service's last endpoint nor more than half of them (`sidecar.registration.census`). When more than a
share of all hosts runs out within a window, the store is taken to be sick (one that was stopped for longer
than the leases' life deletes all of them when it resumes) and nothing is removed until enough are back, or
until many grace periods have passed without that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from immutables import Map

from sidecar.registration.census import Census, Guard, serving_workloads
from sidecar.registration.events import (
    Departure,
    Effect,
    Event,
    GossipAlive,
    HostKept,
    HostLeft,
    HostReturned,
    RegistrationsChanged,
    RegistrationsSeen,
    RemovalsHalted,
    RemovalsResumed,
    RequestsSucceeded,
    SettingsRead,
    TimePassed,
)
from store.objects.host import HostRegistration, Workload
from store.objects.mesh_config import RegistrationSettings

__all__ = ["Kept", "Registrations"]

MASS_HOSTS_MIN = 2
"""One host that runs out says nothing about the store, however few hosts there are."""

HALT_GRACES_MAX = 36
"""Grace periods after which removals resume although the hosts are not back (6 h by default). Live hosts register
again within seconds of the store's recovery, and evidence keeps those that cannot; without a bound, the hosts of a
fleet that was replaced while nobody watched would stay for ever."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A host that is in force although its registration ran out."""

    host: str
    since_s: float
    """When the registration ran out."""
    until_s: float | None
    """When its grace period ends; None while nothing is removed or a guard holds it."""
    reason: str
    """Why it is in force still; a sentence."""


@dataclass(slots=True)
class _Expired:
    """What is remembered of a kept host."""

    since_s: float
    spoken_for_s: float
    """When the grace period began: the expiry itself or the newest evidence."""
    evidence: str = ""
    """What spoke for it last."""
    guard: Guard | None = None
    """What held it back when its grace period was over."""


class Registrations:
    """The registrations in force. Feed events to `handle`; read `registrations` and `kept`."""

    def __init__(self, settings: RegistrationSettings | None = None) -> None:
        self._settings = settings or RegistrationSettings()
        self._seen: Map[str, HostRegistration] = Map()
        self._in_force: Map[str, HostRegistration] = Map()
        self._kept: dict[str, _Expired] = {}
        self._ran_out: deque[tuple[float, str]] = deque()
        self._halted_at_s: float | None = None
        self._outage: set[str] = set()
        self._census = Census()

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take one event in.

        Args:
            event: What happened.
            now_s: Monotonic time in seconds.
        """
        match event:
            case RegistrationsSeen():
                return self._handle_seen(event, now_s)
            case RequestsSucceeded(host):
                self._speak_for(host, now_s, "requests to it succeed")
                return []
            case GossipAlive(host):
                self._speak_for(host, now_s, "gossip holds it alive")
                return []
            case SettingsRead(settings):
                self._settings = settings
                return self._remove_overdue(now_s)
            case TimePassed():
                return [*self._watch_for_outage(now_s), *self._remove_overdue(now_s)]
        assert_never(event)

    def deadline(self) -> float | None:
        """When `TimePassed` is due if nothing happens before; None when nothing is waited for."""
        if self._halted_at_s is not None:
            return self._halted_at_s + HALT_GRACES_MAX * self._settings.grace_period
        due = (self._due(row) for row in self._kept.values() if row.guard is None)
        return min(due, default=None)

    def registrations(self) -> Map[str, HostRegistration]:
        """The registrations in force, kept ones included; the same map while nothing changes."""
        return self._in_force

    def kept(self) -> Mapping[str, Kept]:
        """The hosts that are in force although their registration ran out, with the reason."""
        return {host: self._describe(host, row) for host, row in sorted(self._kept.items())}

    @property
    def removals_halted(self) -> bool:
        """Whether the store is taken to be sick, so that nothing is removed."""
        return self._halted_at_s is not None

    def _handle_seen(self, event: RegistrationsSeen, now_s: float) -> list[Effect]:
        hosts = event.changed
        if hosts is None:
            hosts = frozenset(self._seen) | frozenset(event.registrations)
        effects: list[Effect] = []
        changed: set[str] = set()
        for host in sorted(hosts):
            before, after = self._seen.get(host), event.registrations.get(host)
            if before == after:
                continue
            changed.add(host)
            if after is not None:
                effects += self._take_in(host, after, now_s)
            else:
                assert before is not None
                effects += self._lose(host, before, now_s)
                if event.was_watched and host in self._kept:
                    self._ran_out.append((now_s, host))
        if not changed:
            return effects
        effects += self._watch_for_outage(now_s)
        for row in self._kept.values():
            row.guard = None
        effects += self._remove_overdue(now_s)
        left = {effect.host for effect in effects if isinstance(effect, HostLeft)}
        effects = [e for e in effects if not isinstance(e, RegistrationsChanged)]
        return [*effects, RegistrationsChanged(frozenset(changed | left))]

    def _take_in(self, host: str, registration: HostRegistration, now_s: float) -> list[Effect]:
        self._seen = self._seen.set(host, registration)
        self._put_in_force(host, registration)
        expired = self._kept.pop(host, None)
        self._outage.discard(host)
        return [] if expired is None else [HostReturned(host, now_s - expired.since_s)]

    def _lose(self, host: str, last: HostRegistration, now_s: float) -> list[Effect]:
        """The key is gone: what the host had said of itself before tells whether it meant to leave."""
        self._seen = self._seen.delete(host)
        serving = serving_workloads(last)
        staying = {(workload.namespace, workload.name) for workload in serving}
        effects: list[Effect] = []
        leaving = tuple(
            workload.name
            for workload in last.workloads
            if (workload.namespace, workload.name) not in staying
        )
        if leaving:
            effects.append(HostLeft(host, leaving, Departure.WITHDRAWN))
        if not serving:
            self._put_in_force(host, None)
            return effects
        self._put_in_force(host, last.model_copy(update={"workloads": serving}))
        self._kept[host] = _Expired(now_s, now_s)
        if self.removals_halted:
            self._outage.add(host)
        return [*effects, HostKept(host, tuple(workload.name for workload in serving))]

    def _watch_for_outage(self, now_s: float) -> list[Effect]:
        """Begin or end the time in which nothing is removed."""
        while self._ran_out and self._ran_out[0][0] < now_s - self._settings.expiry_window:
            self._ran_out.popleft()
        known = len(self._seen) + len(self._kept)
        if self._halted_at_s is None:
            burst = {host for _, host in self._ran_out if host in self._kept}
            if len(burst) < MASS_HOSTS_MIN or not self._is_mass(len(burst), known):
                return []
            self._halted_at_s, self._outage = now_s, burst
            return [RemovalsHalted(len(burst), known)]
        longest_s = HALT_GRACES_MAX * self._settings.grace_period
        if self._is_mass(len(self._outage), known) and now_s < self._halted_at_s + longest_s:
            return []
        self._halted_at_s, self._outage = None, set()
        self._ran_out.clear()
        for row in self._kept.values():
            row.spoken_for_s = now_s
        return [RemovalsResumed()]

    def _is_mass(self, ran_out: int, known: int) -> bool:
        return ran_out * 100 > self._settings.max_expiry_percent * known

    def _remove_overdue(self, now_s: float) -> list[Effect]:
        """Take what is overdue and not guarded, the longest gone first."""
        if self.removals_halted:
            return []
        overdue = sorted(
            (row.since_s, host)
            for host, row in self._kept.items()
            if row.guard is None and self._due(row) <= now_s
        )
        effects: list[Effect] = []
        for _, host in overdue:
            taken = self._take_from(host)
            if taken:
                effects.append(HostLeft(host, taken, Departure.EXPIRED))
        if effects:
            hosts = {effect.host for effect in effects if isinstance(effect, HostLeft)}
            effects.append(RegistrationsChanged(frozenset(hosts)))
        return effects

    def _take_from(self, host: str) -> tuple[str, ...]:
        """Take the workloads of a kept host that no guard holds; the names of those taken."""
        registration = self._in_force[host]
        remaining: list[Workload] = []
        taken: list[str] = []
        for workload in registration.workloads:
            guard = self._census.guard(workload)
            if guard is None:
                self._census.take(workload)
                taken.append(workload.name)
            else:
                self._kept[host].guard = guard
                remaining.append(workload)
        if not remaining:
            del self._kept[host]
            self._in_force = self._in_force.delete(host)
        elif taken:
            left = registration.model_copy(update={"workloads": tuple(remaining)})
            self._in_force = self._in_force.set(host, left)
        return tuple(taken)

    def _put_in_force(self, host: str, registration: HostRegistration | None) -> None:
        before = self._in_force.get(host)
        self._census.replace(serving_workloads(before), serving_workloads(registration))
        if registration is not None:
            self._in_force = self._in_force.set(host, registration)
        elif before is not None:
            self._in_force = self._in_force.delete(host)

    def _speak_for(self, host: str, now_s: float, evidence: str) -> None:
        expired = self._kept.get(host)
        if expired is not None:
            expired.spoken_for_s = now_s
            expired.evidence = evidence
            expired.guard = None

    def _due(self, row: _Expired) -> float:
        return row.spoken_for_s + self._settings.grace_period

    def _describe(self, host: str, row: _Expired) -> Kept:
        if self.removals_halted:
            reason = "too many registrations ran out at once: the store is taken to be sick"
        elif row.guard is not None:
            reason = f"{row.guard}"
        elif row.evidence:
            reason = f"{row.evidence} since its registration ran out"
        else:
            reason = "its registration ran out and the grace period is not over"
        is_open = self.removals_halted or row.guard is not None
        return Kept(host, row.since_s, None if is_open else self._due(row), reason)
