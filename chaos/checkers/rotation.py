"""Every workload stays in rotation at every host, whatever its own host lost sight of.

A host that etcd is out of reach of loses its lease; one that is killed, or restarted, goes without a word. Its
workloads are still there, and are still asked: only ejection leaves them out. No fault excuses a host that knows less
than all of them.
"""

from __future__ import annotations

from chaos.checkers.violation import Violation
from chaos.history import History

__all__ = ["check_rotation"]


def check_rotation(history: History) -> list[Violation]:
    """At every look at a host, each destination has an endpoint of every host."""
    hosts = {look.host for look in history.looks}
    found = []
    for look in history.looks:
        for destination, listed in look.listed.items():
            if listed < len(hosts):
                what = f"{look.host} knows {listed} endpoints of {destination}; {len(hosts)} hosts have one"
                found.append(Violation("rotation", look.at_s, what))
    return found
