"""Figures of one run, read from its journal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from tests.simulation.ejection.mesh import Mesh

__all__ = [
    "Avoidance",
    "Figures",
    "avoidance",
    "figures_of",
    "imposed_anywhere",
    "quorum_met_s",
    "spans",
]

FAR = float("inf")


@dataclass(frozen=True)
class Avoidance:
    """How the hosts came to avoid one endpoint. Seconds after the fault began; inf: not within the run."""

    first_s: float
    median_s: float
    last_s: float


@dataclass(frozen=True)
class Figures:
    """Of one run; None where there is nothing of the kind to measure."""

    failures: int
    """User-visible failures of the sick endpoints until all hosts avoid all of them (or the run ends)."""
    failures_all: int
    """User-visible failures of the whole run after the scenario began."""
    avoidance: Avoidance | None
    """Of the sick endpoint that was avoided by all last."""
    false_by_mesh: int
    """Ejections by the mesh of endpoints that were well for whoever ejected, each host counted."""
    false_by_envoy: int
    healthy_hours: float
    """Hours that healthy endpoints were under watch, endpoints counted, hosts not."""
    restored_first_s: float | None
    """From heal until the first host sends fully again."""
    restored_last_s: float | None
    peak_load: float | None
    """Of a healed endpoint in the ten seconds after its restoration began, as a multiple of its fair share."""
    ejected_share: float
    """Mean share of (host, endpoint) pairs that are avoided, over the scenario."""
    worst_share: float
    """Largest share of the endpoints that one host avoids at once."""
    panics: int
    """Times that a host went into panic."""
    disagreement_s: float
    """Time in which some hosts impose an ejection and some do not."""


def spans(
    mesh: Mesh, whose: Iterable[str] = ("mesh", "envoy")
) -> dict[tuple[str, int, int], list[tuple[float, float]]]:
    """When each host avoided each endpoint: (host, destination, endpoint) -> merged spans, scenario time."""
    wanted = set(whose)
    open_: dict[tuple[str, int, int], dict[str, float]] = {}
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    numbers = {name: d for d, name in enumerate(mesh.destinations)}
    for when_s, host, destination, endpoint, who, begins in sorted(
        mesh.journal.avoided, key=lambda entry: entry[0]
    ):
        if who not in wanted:
            continue
        key = (host, numbers[destination], endpoint)
        if begins:
            open_.setdefault(key, {})[who] = when_s - mesh.zero_s
        else:
            began_s = open_.get(key, {}).pop(who, None)
            if began_s is not None:
                found.setdefault(key, []).append((began_s, when_s - mesh.zero_s))
    for key, left in open_.items():
        found.setdefault(key, []).extend((began_s, FAR) for began_s in left.values())
    return {key: _merged(sorted(parts)) for key, parts in found.items()}


def avoidance(mesh: Mesh, endpoint: int, since_s: float = 0.0, destination: int = 0) -> Avoidance:
    """When the first, the median and the last host began to avoid an endpoint, after a time."""
    held = spans(mesh)
    times = sorted(
        min(
            (
                max(begins, since_s) - since_s
                for begins, ends in held.get((host, destination, endpoint), [])
                if ends > since_s
            ),
            default=FAR,
        )
        for host in mesh.hosts
    )
    return Avoidance(times[0], statistics.median(times), times[-1])


def imposed_anywhere(mesh: Mesh) -> list[tuple[float, str, int]]:
    """Ejections by the mesh: when, at whom, of which endpoint."""
    return [
        (round(when_s - mesh.zero_s, 2), host, endpoint)
        for when_s, host, _, endpoint, who, begins in mesh.journal.avoided
        if who == "mesh" and begins
    ]


def quorum_met_s(mesh: Mesh, quorum: int, endpoint: int = 0, failures: int = 2) -> float:
    """When so many hosts had failed so often at an endpoint that always fails: no rule could know earlier."""
    times: dict[str, list[float]] = {}
    for when_s, host, _, number in mesh.journal.failures:
        if number == endpoint and when_s >= mesh.zero_s:
            times.setdefault(host, []).append(when_s - mesh.zero_s)
    met = sorted(found[failures - 1] for found in times.values() if len(found) >= failures)
    return met[quorum - 1]


def figures_of(mesh: Mesh) -> Figures:
    """All figures of a run that has ended."""
    end_s = mesh.now_s
    sick = {
        (fault.destination, e): fault
        for fault in mesh.setup.faults
        if fault.observers is None and fault.destination is not None and fault.share >= 0.5
        for e in fault.endpoints
        if fault.since_s == 0.0
    }
    avoided = [avoidance(mesh, e, 0.0, d) for d, e in sick if d is not None]
    worst = max(avoided, key=lambda found: found.last_s, default=None)
    until_s = worst.last_s if worst else 0.0
    failures = [
        (when_s - mesh.zero_s, mesh.destinations.index(destination), endpoint)
        for when_s, _, destination, endpoint in mesh.journal.failures
        if when_s >= mesh.zero_s
    ]
    false_mesh, false_envoy = _false_ejections(mesh)
    restored = _restored(mesh)
    return Figures(
        failures=sum((d, e) in sick and when_s <= until_s for when_s, d, e in failures),
        failures_all=len(failures),
        avoidance=worst,
        false_by_mesh=false_mesh,
        false_by_envoy=false_envoy,
        healthy_hours=_healthy_hours(mesh, end_s),
        restored_first_s=restored[0] if restored else None,
        restored_last_s=restored[1] if restored else None,
        peak_load=restored[2] if restored else None,
        ejected_share=_ejected_share(mesh, end_s),
        worst_share=_worst_share(mesh),
        panics=sum(begins and when_s >= mesh.zero_s for when_s, _, begins in mesh.journal.panics),
        disagreement_s=_disagreement_s(mesh, end_s),
    )


def _merged(parts: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for begins, ends in parts:
        if merged and begins <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ends, merged[-1][1]))
        else:
            merged.append((begins, ends))
    return merged


def _is_faulty(mesh: Mesh, host: str, destination: int, endpoint: int, at_s: float) -> bool:
    """Whether the endpoint failed this host lately: an ejection may come some seconds after the last failure."""
    return any(
        endpoint in fault.endpoints
        and fault.destination in (None, destination)
        and (fault.observers is None or host in fault.observers)
        and fault.since_s <= at_s <= fault.until_s + 10.0
        for fault in mesh.setup.faults
    )


def _false_ejections(mesh: Mesh) -> tuple[int, int]:
    by_mesh = by_envoy = 0
    numbers = {name: d for d, name in enumerate(mesh.destinations)}
    for when_s, host, destination, endpoint, who, begins in mesh.journal.avoided:
        if begins and not _is_faulty(
            mesh, host, numbers[destination], endpoint, when_s - mesh.zero_s
        ):
            by_mesh += who == "mesh"
            by_envoy += who == "envoy"
    return by_mesh, by_envoy


def _healthy_hours(mesh: Mesh, end_s: float) -> float:
    sick = {
        (d, e)
        for fault in mesh.setup.faults
        for d in range(len(mesh.destinations))
        if fault.destination in (None, d) and fault.observers is None
        for e in fault.endpoints
    }
    count = len(mesh.destinations) * mesh.setup.endpoints - len(sick)
    return count * (end_s + mesh.setup.warm_s) / 3600.0


def _restored(mesh: Mesh) -> tuple[float, float, float | None] | None:
    """First and last host to send fully again after the heal, and the endpoint's peak load then."""
    healed = [f for f in mesh.setup.faults if f.until_s < mesh.now_s and f.observers is None]
    if not healed:
        return None
    fault = healed[-1]
    held = spans(mesh, ("mesh", "envoy", "trial"))
    firsts, lasts, peaks = [], [], []
    for e in fault.endpoints:
        back = []
        for host in mesh.hosts:
            parts = held.get((host, fault.destination or 0, e), [])
            after = [ends for begins, ends in parts if ends > fault.until_s]
            back.append(max(after, default=fault.until_s) - fault.until_s)
        firsts.append(min(back))
        lasts.append(max(back))
        if min(back) == FAR:
            continue
        begins = int(mesh.zero_s + fault.until_s + min(back))
        loads = [
            mesh.journal.arrivals.get((mesh.destinations[fault.destination or 0], e, second), 0)
            for second in range(begins, begins + 10)
        ]
        peaks.append(max(loads) / (mesh.setup.rate * mesh.setup.hosts))
    return min(firsts), max(lasts), max(peaks, default=None)


def _ejected_share(mesh: Mesh, end_s: float) -> float:
    held = spans(mesh)
    total = sum(
        max(0.0, min(ends, end_s) - max(begins, 0.0))
        for parts in held.values()
        for begins, ends in parts
    )
    pairs = len(mesh.hosts) * len(mesh.destinations) * mesh.setup.endpoints
    return total / (pairs * end_s) if end_s > 0 else 0.0


def _worst_share(mesh: Mesh) -> float:
    changes: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for (host, d, _), parts in spans(mesh).items():
        for begins, ends in parts:
            changes.setdefault((host, d), []).extend([(begins, 1), (ends, -1)])
    worst = 0
    for steps in changes.values():
        count = 0
        for _, step in sorted(steps):
            count += step
            worst = max(worst, count)
    return worst / mesh.setup.endpoints


def _disagreement_s(mesh: Mesh, end_s: float) -> float:
    """Time in which hosts differ over an endpoint: ejected by the mesh at some, fully used at others."""
    steps: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for (_, d, e), parts in spans(mesh, ("mesh", "trial")).items():
        for begins, ends in parts:
            steps.setdefault((d, e), []).extend([(begins, 1), (min(ends, end_s), -1)])
    total = 0.0
    for changes in steps.values():
        count, since = 0, 0.0
        for when_s, step in sorted(changes):
            if 0 < count < len(mesh.hosts):
                total += when_s - since
            count, since = count + step, when_s
    return total
