"""No process is another one than before, unless a fault says that it ends it: a crash that heals itself is a crash."""

from __future__ import annotations

from chaos.checkers.violation import Violation
from chaos.history import History

__all__ = ["check_restarts"]


def check_restarts(history: History) -> list[Violation]:
    """Process ids at each look, beside what the faults say."""
    declared = {name for fault in history.faults for name in fault.restarts}
    known: dict[tuple[str, str], int] = {}
    found = []
    for usage in sorted(history.usages, key=lambda one: one.at_s):
        key = (usage.process, usage.host)
        before = known.setdefault(key, usage.pid)
        if usage.pid != before and f"{usage.process}@{usage.host}" not in declared:
            what = f"{usage.process} of {usage.host} is process {usage.pid}, and was {before}: it ended by itself"
            found.append(Violation("restarts", usage.at_s, what))
        known[key] = usage.pid
    return found
