"""A run that saw nothing shows nothing: load, writers and looks must have been at work, to the end, at every host."""

from __future__ import annotations

from collections import Counter

from chaos.checkers.requests import word_of
from chaos.checkers.violation import Violation
from chaos.history import History, Outcome

__all__ = ["check_activity"]

NAME = "activity"
LAST_S = 6.0
"""Before the end of a run, when all is healed: every host serves, and is looked at."""
WRITES_MIN = 5
READS_MIN = 5
SERVED_MIN = 5
"""Requests of each host that are answered in that time."""
PROBES_MIN = 10


def check_activity(history: History) -> list[Violation]:
    """Floors for everything that other checkers go by."""
    late_s = history.ended_s - LAST_S
    hosts = sorted(
        {request.host for request in history.requests} | {one.host for one in history.looks}
    )
    written = sum(1 for write in history.writes if write.outcome is Outcome.OK)
    counted = [
        ("acknowledged writes", written, WRITES_MIN),
        ("reads", len(history.reads), READS_MIN),
    ]
    probes = Counter(probe.host for probe in history.probes)
    served = Counter(
        one.host for one in history.requests if one.at_s >= late_s and not word_of(one)
    )
    looks = Counter(look.host for look in history.looks if look.at_s >= late_s and look.listed)
    for host in hosts:
        counted += [
            (f"probes at {host}", probes[host], PROBES_MIN),
            (
                f"requests from {host} that were answered in the last {LAST_S:g} s",
                served[host],
                SERVED_MIN,
            ),
            (f"looks at {host} in the last {LAST_S:g} s", looks[host], 2),
        ]
    return [
        Violation(
            NAME, history.ended_s, f"{count} {what}; at least {least} are needed to judge a run"
        )
        for what, count, least in counted
        if count < least
    ]
