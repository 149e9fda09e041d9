"""Revisions of hosts: never back within one life of etcd, one content for one revision, all alike after healing."""

from __future__ import annotations

from collections import defaultdict

from chaos.checkers.killed import DISK_S, was_killed
from chaos.checkers.violation import Violation
from chaos.history import History, Look

__all__ = [
    "CONVERGED_S",
    "check_convergence",
    "check_hashes",
    "check_monotonic",
    "check_served",
]

CONVERGED_S = 10.0
"""After the last fault is healed."""


def check_monotonic(history: History) -> list[Violation]:
    """What a host has received, and what it has in force, only grows within an epoch.

    An epoch that was left is not returned to. A sidecar that a fault killed may begin from its disk, which is written a
    moment after Envoy took what is written: it never goes back further than that.
    """
    found = []
    seen: dict[tuple[str, str, str], list[tuple[float, int]]] = defaultdict(list)
    left: dict[str, set[str]] = defaultdict(set)
    current: dict[str, str] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        if not look.epoch:
            continue  # nothing is known yet
        before = current.get(look.host)
        if before != look.epoch:
            if look.epoch in left[look.host]:
                what = f"{look.host} went back to the epoch {look.epoch}, which it had left"
                found.append(Violation("monotonic", look.at_s, what))
            if before is not None:
                left[look.host].add(before)
            current[look.host] = look.epoch
        for stage, epoch, revision in (
            ("received", look.epoch, look.received),
            ("in force", look.epoch_in_force, look.in_force),
        ):
            known = seen[look.host, epoch, stage]
            newest = max((one for _, one in known), default=0)
            if 0 < revision < newest:
                is_again = was_killed(history.faults, look.host, look.at_s)
                if is_again and revision >= _on_disk(known):
                    known.clear()
                else:
                    what = (
                        f"{look.host}: revision {stage} went from {newest} back to {revision} "
                        f"in epoch {epoch}"
                    )
                    found.append(Violation("monotonic", look.at_s, what))
            known.append((look.at_s, revision))
    return found


def _on_disk(known: list[tuple[float, int]]) -> int:
    """What a disk must have had when its host was last looked at."""
    last_s = known[-1][0]
    return max((revision for at_s, revision in known if at_s <= last_s - DISK_S), default=0)


def check_hashes(history: History) -> list[Violation]:
    """Hosts that received the same revision of the same epoch have the same content."""
    found = []
    first: dict[tuple[str, int], Look] = {}
    for look in sorted(history.looks, key=lambda one: one.at_s):
        if not look.hash or not look.received:
            continue
        known = first.setdefault((look.epoch, look.received), look)
        if known.hash != look.hash:
            found.append(
                Violation(
                    "hashes",
                    look.at_s,
                    f"revision {look.received} of epoch {look.epoch} is {look.hash} at {look.host}, "
                    f"and was {known.hash} at {known.host}",
                )
            )
    return found


def check_convergence(history: History) -> list[Violation]:
    """After healing, and while nobody writes, all hosts are at one revision and hash, in force, within the time."""
    due_s = history.healed_s + CONVERGED_S
    states: dict[str, list[Look]] = defaultdict(list)
    for look in sorted(history.looks, key=lambda one: one.at_s):
        states[look.host].append(look)
    if not states:
        return [Violation("convergence", due_s, "no host was looked at")]
    last = {host: looks[-1] for host, looks in states.items()}
    newest = max(look.received for look in last.values())
    wanted = {(look.epoch, look.hash) for look in last.values() if look.received == newest}
    if len(wanted) > 1:
        what = f"at the end revision {newest} has several contents: {sorted(wanted)}"
        return [Violation("convergence", history.ended_s, what)]
    (epoch, content) = next(iter(wanted))
    goal = (epoch, newest, content)
    found = []
    for host, looks in sorted(states.items()):
        reached = next((look.at_s for look in looks if _stands(look) == goal), None)
        if reached is None or _stands(looks[-1]) != goal:
            said = f"received {last[host].received}, in force {last[host].in_force}"
            what = f"{host} ended with {said}, {last[host].state}; others have revision {newest}"
            found.append(Violation("convergence", history.ended_s, what))
        elif looks[-1].source != "etcd":
            what = f"{host} ended with what it has from {looks[-1].source}; etcd is there again"
            found.append(Violation("convergence", history.ended_s, what))
        elif reached > due_s and reached > history.healed_s:
            late_s = reached - history.healed_s
            what = (
                f"{host} had revision {newest} in force {late_s:.1f} s after the healing; "
                f"{CONVERGED_S:g} s are allowed"
            )
            found.append(Violation("convergence", reached, what))
    return found


def check_served(history: History) -> list[Violation]:
    """At the end every host serves what etcd says: hosts that are all alike may still all be wrong."""
    last: dict[str, str] = {}
    for read in sorted(history.reads, key=lambda one: one.ended_s):
        last[read.key] = read.value
    return [
        Violation(
            "served",
            one.at_s,
            f"{one.host} serves {one.value!r} of {one.key} at the end; etcd has {last[one.key]!r}",
        )
        for one in history.served
        if one.key in last and one.value != last[one.key]
    ]


def _stands(look: Look) -> tuple[str, int, str] | None:
    received, in_force = (look.epoch, look.received), (look.epoch_in_force, look.in_force)
    return (*received, look.hash) if in_force == received else None
