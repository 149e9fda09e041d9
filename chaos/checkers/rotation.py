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
    """At each host, of two looks one after another, each destination has an endpoint of every host in one.

    A single look may meet an Envoy that has just started, and has nothing yet.
    """
    hosts = {look.host for look in history.looks}
    found = []
    short: set[tuple[str, str]] = set()
    for look in sorted(history.looks, key=lambda one: one.at_s):
        for destination, listed in look.listed.items():
            place = (look.host, destination)
            if listed >= len(hosts):
                short.discard(place)
            elif place not in short:
                short.add(place)
            else:
                what = f"{look.host} knows {listed} endpoints of {destination}; {len(hosts)} hosts have one"
                found.append(Violation("rotation", look.at_s, what))
    return found
