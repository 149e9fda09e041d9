"""No request fails for a reason that no fault explains.

Each fault says which failures it permits, for which hosts and which applications, while it lasts and for a moment
after it (what it broke has to be noticed to be mended). Words:

| word | failure |
| --- | --- |
| `refused` | no connection to the host's own outbound listener (its Envoy is gone) |
| `reset` | the connection to Envoy broke |
| `timeout` | no answer in time |
| `5xx` | the application answered so itself |
| `unreachable` | Envoy could not reach an endpoint (503 with UF, UC, UR, LR; 504 with UT) |
| `none` | Envoy had no healthy endpoint (503 with UH) |

What no fault may excuse: no route (404, NR) or no cluster (503, NC): the configuration was empty or half applied.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History, Request

__all__ = ["AFTER_S", "check_requests", "word_of"]

NAME = "requests"
AFTER_S = 5.0
"""How long a fault's effects may be felt after its healing."""
_NEVER = {"NR": "no_route", "NC": "no_cluster"}


def word_of(request: Request) -> str:
    """Which kind of failure it is; empty: none."""
    flags = set(request.reason.split(","))
    for flag, word in _NEVER.items():
        if flag in flags:
            return word
    if request.status == 404:
        return "no_route"
    if request.status == 0:
        return request.reason if request.reason in ("refused", "timeout") else "reset"
    if request.status < 500:
        return ""
    if request.backend:
        return "5xx"
    return "none" if "UH" in flags else "unreachable"


def check_requests(history: History) -> list[Violation]:
    """Each request of the load."""
    found = []
    for request in history.requests:
        word = word_of(request)
        if word and not any(_excuses(fault, request, word) for fault in history.faults):
            during = _names(history.faults, request)
            found.append(
                Violation(
                    NAME,
                    request.at_s,
                    f"a request from {request.host} to {request.service} failed: {word} "
                    f"(status {request.status}, {request.reason or 'no reason'}), "
                    f"which {during or 'nothing that was broken'} does not explain",
                )
            )
    return found


def _excuses(fault: FaultSpan, request: Request, word: str) -> bool:
    if word in _NEVER.values() or word not in fault.permits:
        return False
    ended_s = request.at_s + request.took_s
    if ended_s < fault.began_s or request.at_s > fault.ended_s + AFTER_S:
        return False
    if fault.hosts and request.host not in fault.hosts:
        return False
    return not fault.backends or not request.backend or request.backend in fault.backends


def _names(faults: Iterable[FaultSpan], request: Request) -> str:
    met = [f.name for f in faults if f.began_s <= request.at_s <= f.ended_s + AFTER_S]
    return ", ".join(met)
