"""Histories by hand, and a register that makes linearizable ones."""

from __future__ import annotations

import random
from typing import Any

from chaos.history import FaultSpan, History, Look, Outcome, Read, Request, Write

__all__ = ["look", "read", "register_history", "request", "spell", "write"]


def write(
    began_s: float,
    ended_s: float,
    expected: str,
    value: str,
    outcome: Outcome = Outcome.OK,
    revision: int | None = None,
    key: str = "k",
) -> Write:
    return Write(key, "w", began_s, ended_s, expected, value, outcome, revision)


def read(began_s: float, ended_s: float, value: str, revision: int = 0, key: str = "k") -> Read:
    return Read(key, "r", began_s, ended_s, value, revision)


def look(at_s: float, host: str, received: int, **changes: Any) -> Look:
    told: dict[str, Any] = {
        "epoch": "1:abc",
        "epoch_in_force": changes.get("epoch", "1:abc"),
        "in_force": received,
        "hash": f"hash-{received}",
        "state": "in-force",
        "source": "etcd",
    }
    return Look(at_s, host, received=received, **{**told, **changes})


def request(at_s: float, status: int = 200, **changes: Any) -> Request:
    backend = "h2" if status == 200 else ""
    told: dict[str, Any] = {"took_s": 0.01, "host": "h1", "service": "web", "backend": backend}
    return Request(at_s, status=status, **{**told, **changes})


def spell(name: str, began_s: float, ended_s: float, **changes: Any) -> FaultSpan:
    return FaultSpan(name, began_s, ended_s, **changes)


def register_history(seed: int, operations: int = 40, clients: int = 4) -> History:
    """Clients of one real register: every operation takes effect at a moment between its call and its return."""
    rng = random.Random(seed)
    history, held, revision = History(), "", 1
    written_at = 0
    begins = [rng.random() for _ in range(clients)]
    moments = []
    for number in range(operations):
        client = rng.randrange(clients)
        began_s = begins[client]
        moment_s = began_s + rng.random()
        ended_s = moment_s + rng.random()
        begins[client] = ended_s + 0.3 * rng.random()
        moments.append((moment_s, began_s, ended_s, number))
    values = [""]
    for _, began_s, ended_s, number in sorted(moments):
        revision += 1
        if rng.random() < 0.3:
            history.reads.append(read(began_s, ended_s, held, written_at))
            continue
        expected, value = rng.choice([held, held, rng.choice(values)]), f"v{number}"
        if rng.random() < 0.1:  # nobody learns how it ended
            history.writes.append(write(began_s, ended_s, expected, value, Outcome.UNKNOWN))
        elif expected == held:
            history.writes.append(write(began_s, ended_s, held, value, Outcome.OK, revision))
        else:
            history.writes.append(write(began_s, ended_s, expected, value, Outcome.CONFLICT))
            continue
        if expected == held and (history.writes[-1].outcome is Outcome.OK or rng.random() < 0.5):
            held, written_at = value, revision
            values.append(value)
    return history
