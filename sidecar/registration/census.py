"""How many endpoints each service has, and how many expiry may still take from it.

Expiry never takes a service's last endpoint, nor more than half of them. Half is of what the service had
before expiry began to take: endpoints that were taken are remembered until new ones fill their place, so
that repeated halving cannot empty a service step by step.

A workload counts for the service whose name it bears. One that bears none is an endpoint of whatever
ServiceEntries select its labels; it counts for the group of workloads with the very same labels. Every selector
takes such groups whole, so what holds for each group holds for any service made of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from store.objects.host import HostRegistration, Workload, WorkloadState

__all__ = ["Census", "Group", "Guard", "group_of", "serving_workloads"]

Group = tuple[str, ...]
"""Identity of a service, or of workloads with equal labels, for counting."""


class Guard(StrEnum):
    """Why expiry must not take a workload."""

    LAST = "it is the last endpoint of its service"
    HALF = "half of its service's endpoints were taken by expiry already"


@dataclass(slots=True)
class _Count:
    serving: int = 0
    """Endpoints in force."""
    taken: int = 0
    """Endpoints that expiry took and nothing has replaced."""


class Census:
    """Counts serving endpoints by service."""

    def __init__(self) -> None:
        self._counts: dict[Group, _Count] = {}

    def replace(self, before: Iterable[Workload], after: Iterable[Workload]) -> None:
        """A host's serving workloads `before` are now `after`; new ones fill places that expiry left."""
        old = {(workload.namespace, workload.name): group_of(workload) for workload in before}
        new = {(workload.namespace, workload.name): group_of(workload) for workload in after}
        for key, group in old.items():
            if new.get(key) != group:
                self._counts[group].serving -= 1
        for key, group in new.items():
            if old.get(key) != group:
                count = self._counts.setdefault(group, _Count())
                count.serving += 1
                count.taken = max(0, count.taken - 1)
        for group in {*old.values(), *new.values()}:
            self._drop_if_empty(group)

    def guard(self, workload: Workload) -> Guard | None:
        """Why expiry must leave a serving workload alone; None when it may take it."""
        count = self._counts[group_of(workload)]
        if count.serving <= 1:
            return Guard.LAST
        if 2 * (count.taken + 1) > count.serving + count.taken:
            return Guard.HALF
        return None

    def take(self, workload: Workload) -> None:
        """Expiry takes a serving workload, which `guard` allowed."""
        count = self._counts[group_of(workload)]
        count.serving -= 1
        count.taken += 1

    def serving(self, group: Group) -> int:
        """Endpoints of a service that are in force."""
        count = self._counts.get(group)
        return 0 if count is None else count.serving

    def _drop_if_empty(self, group: Group) -> None:
        """A service that its own hosts gave up is forgotten: there is no half of it to protect."""
        if group in self._counts and self._counts[group].serving == 0:
            del self._counts[group]


def group_of(workload: Workload) -> Group:
    """What a workload counts for."""
    if workload.service:
        return (workload.namespace, workload.service)
    labels = (f"{key}={value}" for key, value in sorted(workload.labels.items()))
    return (workload.namespace, "", *labels)


def serving_workloads(registration: HostRegistration | None) -> tuple[Workload, ...]:
    """The workloads of a registration that take requests; none of a host that is leaving."""
    if registration is None or registration.state is not WorkloadState.SERVING:
        return ()
    return tuple(one for one in registration.workloads if one.state is WorkloadState.SERVING)
