"""No request fails for a reason that no fault explains.

Each fault says which failures it permits, for which hosts and which applications, while it lasts (or for as long as it
may be felt) and for a moment after it: what it broke has to be noticed to be mended. Where some applications are ill,
and fewer than ejection may leave out, requests of others may meet them only until they are noticed. Words:

| word | failure |
| --- | --- |
| `refused` | no connection to the host's own outbound listener (its Envoy is gone) |
| `reset` | the connection to Envoy broke |
| `timeout` | no answer in time |
| `5xx` | the application answered so itself |
| `unreachable` | Envoy could not reach an endpoint (503 with UF, UC, UR, LR; 504 with UT) |
| `none` | Envoy had no healthy endpoint (503 with UH) |

What no fault may excuse: no route (404, NR) or no cluster (503, NC): the configuration was empty or half applied; an
answer of no application (`no_backend`), or one that nobody sends here (`unforeseen`: 403, 429).
"""

from __future__ import annotations

from collections.abc import Iterable

from chaos.checkers.killed import felt_until_s
from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History, Request

__all__ = ["AFTER_S", "check_requests", "word_of"]

NAME = "requests"
AFTER_S = 5.0
"""How long a fault's effects may be felt after its healing."""
NOTICED_S = 6.0
"""After this time ill applications are to be left out: five failures, or two hosts' word, and some looks."""
DETECTED = "web"
"""The service whose endpoints are watched for failures."""
MET_SHARE = 0.2
"""Of requests that may still meet an ill application then: trials, and hosts whose traffic is thin."""
MET_MIN = 5
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
    if request.status == 200:
        return "" if request.backend else "no_backend"
    if request.status < 500:
        return "unforeseen"
    if request.backend:
        return "5xx"
    return "none" if "UH" in flags else "unreachable"


def check_requests(history: History) -> list[Violation]:
    """Each request of the load."""
    found = []
    felt = [(fault, felt_until_s(fault, history) + AFTER_S) for fault in history.faults]
    for request in history.requests:
        word = word_of(request)
        if word and not any(_excuses(fault, until_s, request, word) for fault, until_s in felt):
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
    if len(history.faults) == 1:
        found += _met(history, history.faults[0])
    return found


def _excuses(fault: FaultSpan, until_s: float, request: Request, word: str) -> bool:
    if word in _NEVER.values() or word not in fault.permits:
        return False
    if request.at_s + request.took_s < fault.began_s or request.at_s > until_s:
        return False
    if not fault.hosts and not fault.backends:
        return True
    if request.host in fault.hosts:
        return True
    # An answer of Envoy's own does not say which endpoint it is about.
    return bool(fault.backends) and request.backend in ("", *fault.backends)


def _met(history: History, fault: FaultSpan) -> list[Violation]:
    """Whether those that are well still meet ill applications when these should have been noticed."""
    hosts = {look.host for look in history.looks}
    if not fault.permits or not fault.backends or 2 * len(fault.backends) > len(hosts):
        return []
    found = []
    for host in sorted(hosts - set(fault.hosts)):
        asked = [
            request
            for request in history.requests
            if request.host == host
            and request.service.startswith(DETECTED)
            and fault.began_s + NOTICED_S < request.at_s < fault.ended_s
        ]
        failed = sum(1 for request in asked if word_of(request))
        if failed > max(MET_MIN, MET_SHARE * len(asked)):
            what = (
                f"{failed} of {len(asked)} requests from {host} failed later than {NOTICED_S:g} s after "
                f"{fault.name} began: {', '.join(fault.backends)} should be left out by then"
            )
            found.append(Violation(NAME, fault.ended_s, what))
    return found


def _names(faults: Iterable[FaultSpan], request: Request) -> str:
    met = [f.name for f in faults if f.began_s <= request.at_s <= f.ended_s + AFTER_S]
    return ", ".join(met)
