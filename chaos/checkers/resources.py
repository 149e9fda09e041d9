"""Memory, descriptors and threads stay flat, and nothing is left behind."""

from __future__ import annotations

import statistics
from collections import defaultdict

from chaos.checkers.violation import Violation
from chaos.history import History, Usage

__all__ = ["check_left_behind", "check_resources"]

GROWTH = 1.25
"""Of memory between the first and the last quarter of a process's life, beside `RSS_SLACK_KIB`."""
RSS_SLACK_KIB = 48 * 1024
"""Caches that fill, tables of a mesh that is heard of for the first time."""
DESCRIPTORS_SLACK = 64
CONNECTIONS_SLACK = 1024
"""Of an Envoy: what piles up behind something that stands still stays in its pools of connections, to be used again;
a cluster's circuit breaker allows so many."""
ETCD_RSS_SLACK_KIB = 192 * 1024
"""Of an etcd: its database is mapped up to its quota, and twice while it is defragmented."""
THREADS_SLACK = 32
"""Of a process that had hardly begun at its first looks, on a busy machine."""
_LIMITS = (
    ("rss_kib", GROWTH, RSS_SLACK_KIB),
    ("descriptors", 1.0, DESCRIPTORS_SLACK),
    ("threads", 1.0, THREADS_SLACK),
)
_SLACK = {
    ("envoy", "descriptors"): CONNECTIONS_SLACK,
    ("etcd", "rss_kib"): ETCD_RSS_SLACK_KIB,
}
"""Of some processes."""
LOOKS_MIN = 12
"""Processes that were looked at less often are not judged."""


def check_resources(history: History) -> list[Violation]:
    """Each life of each process, its first quarter (after a start) beside its last."""
    lives: dict[tuple[str, str, int], list[Usage]] = defaultdict(list)
    for usage in history.usages:
        lives[usage.host, usage.process, usage.pid].append(usage)
    found = []
    for (host, process, pid), looks in sorted(lives.items()):
        if len(looks) < LOOKS_MIN:
            continue
        looks.sort(key=lambda one: one.at_s)
        quarter = len(looks) // 4
        early, late = looks[quarter : 2 * quarter], looks[-quarter:]
        for name, growth, slack in _LIMITS:
            slack = _SLACK.get((process, name), slack)
            before = statistics.median(getattr(one, name) for one in early)
            after = statistics.median(getattr(one, name) for one in late)
            if after > before * growth + slack:
                what = (
                    f"{process} of {host} (process {pid}): {name} grew from {before:g} to {after:g}"
                )
                found.append(Violation("resources", looks[-1].at_s, what))
    return found


def check_left_behind(history: History) -> list[Violation]:
    """What was still there after the cleaning."""
    return [
        Violation("left behind", history.ended_s, f"{thing} was left behind")
        for thing in history.left_behind
    ]
