"""No acknowledged write is lost or reordered: each key's history is that of one compare-and-set register.

A history is linearizable when every operation can be given one moment between its call and its return, so that in the
order of these moments a register behaves as the answers say. Searched as Wing and Gong (1993) do, with Lowe's
memory of configurations (2017): operations done, value held. Keys are independent (Herlihy and Wing 1990, locality),
so each is searched alone.

- An acknowledged write found its expected value, and left its own.
- A conflict found something else than what it expected.
- A write of unknown outcome happened at some moment after its call, or never.
- A read found the value that it returned.

An etcd that is restored from a backup forgets what was acknowledged since the backup, by its operator's deed: each
life is a history of its own, and the later one begins with a value that could be read while the backup was made.

Revisions give a second, cheaper check: acknowledgements that do not overlap are ordered as their revisions are, and
no revision is given twice. A violation is told with the smallest part of the history that shows it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from chaos.checkers.violation import Violation
from chaos.history import FaultSpan, History, Outcome, Read, Write

__all__ = ["Kind", "Operation", "check_registers", "is_linearizable"]

NAME = "registers"
CONFIGURATIONS_MAX = 2_000_000
"""Configurations looked at for one key; beyond, the search is given up, which is said, never taken for a yes."""

APPLIED_S = 1.0
"""How far a member of etcd may be behind what was acknowledged."""


class Kind(Enum):
    """What an operation does."""

    SET = "set"
    REFUSED = "refused"
    MAYBE = "maybe"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one register; values are unique, empty means that there is none."""

    kind: Kind
    call_s: float
    return_s: float
    value: str
    """Written, or read."""
    expected: str = ""
    """Of a compare-and-set."""

    def step(self, held: str) -> str | None:
        """The value afterwards; None: it cannot happen where `held` is the value."""
        match self.kind:
            case Kind.READ:
                return held if held == self.value else None
            case Kind.REFUSED:
                return held if held != self.expected else None
            case Kind.SET | Kind.MAYBE:
                return self.value if held == self.expected else None


class TooLargeError(Exception):
    """The search was given up."""


def is_linearizable(operations: Sequence[Operation], initial: str = "") -> bool:
    """Whether the history is that of a register.

    Args:
        operations: Of one key, in any order.
        initial: What it held before; empty: nothing.

    Raises:
        TooLargeError: The search was given up.
    """
    ordered = sorted(operations, key=lambda one: (one.call_s, one.return_s))
    must = sum(1 << n for n, one in enumerate(ordered) if one.kind is not Kind.MAYBE)
    stack = [(0, initial)]
    seen = {(0, initial)}
    while stack:
        done, held = stack.pop()
        if done & must == must:
            return True
        for number in _next(ordered, done):
            after = ordered[number].step(held)
            if after is None:
                continue
            configuration = (done | 1 << number, after)
            if configuration not in seen:
                if len(seen) >= CONFIGURATIONS_MAX:
                    raise TooLargeError
                seen.add(configuration)
                stack.append(configuration)
    return False


def _next(ordered: Sequence[Operation], done: int) -> list[int]:
    """Operations that may come next: none that is not done returned before they were called."""
    found = []
    earliest_return_s = math.inf
    number = (~done & (done + 1)).bit_length() - 1  # all before it are done
    while number < len(ordered) and ordered[number].call_s <= earliest_return_s:
        if not done >> number & 1:
            found.append(number)
            if ordered[number].kind is not Kind.MAYBE:
                earliest_return_s = min(earliest_return_s, ordered[number].return_s)
        number += 1
    return found


def check_registers(history: History) -> list[Violation]:
    """Each key that was written or read, in each life of etcd."""
    found: list[Violation] = []
    restores = sorted(
        (fault for fault in history.faults if fault.new_epoch), key=lambda one: one.healing_s
    )
    bounds = [-math.inf, *(fault.healing_s for fault in restores), math.inf]
    operations: dict[str, list[Operation]] = defaultdict(list)
    for write in history.writes:
        if write.outcome is not Outcome.FAILED:
            operations[write.key].append(_of_write(write))
    for read in history.reads:
        operations[read.key].append(Operation(Kind.READ, read.began_s, read.ended_s, read.value))
    for key, several in sorted(operations.items()):
        starts = [""]
        for number, (since_s, until_s) in enumerate(pairwise(bounds)):
            life = _of_life(several, since_s, until_s)
            found += _search(key, life, starts)
            if number < len(restores):
                starts = _backed_up(life, starts, restores[number])
    for since_s, until_s in pairwise(bounds):
        writes = [one for one in history.writes if since_s < one.began_s and one.ended_s < until_s]
        reads = [one for one in history.reads if since_s < one.began_s and one.ended_s < until_s]
        found += _revisions(writes, reads)
    return sorted(found, key=lambda one: one.at_s)


def _of_life(operations: Sequence[Operation], since_s: float, until_s: float) -> list[Operation]:
    """What happened in one life of etcd. Who called before its end and has an answer from after it asked both."""
    found = []
    for one in operations:
        if since_s < one.call_s and one.return_s < until_s:
            found.append(one)
        elif one.call_s < until_s and one.return_s > since_s and one.kind in (Kind.SET, Kind.MAYBE):
            found.append(Operation(Kind.MAYBE, one.call_s, math.inf, one.value, one.expected))
    return found


def _backed_up(life: Sequence[Operation], starts: Sequence[str], restore: FaultSpan) -> list[str]:
    """Values that a backup may have: those that a read could have found while it was made.

    The backup is made when the fault begins, in any case before its healing does, of what one member has applied, which
    may be `APPLIED_S` behind. Where the life was none of a register, or the search is given up, any value that ever
    was. One restore is over before another begins (`etcd-restored` is always alone).
    """
    known = sorted({*starts, *(one.value for one in life if one.kind is not Kind.REFUSED)})
    made_s = restore.began_s - APPLIED_S
    found = []
    try:
        for value in known:
            read = Operation(Kind.READ, made_s, restore.healing_s, value)
            if any(is_linearizable([*life, read], start) for start in starts):
                found.append(value)
    except TooLargeError:
        return known
    return found or known


def _search(key: str, operations: Sequence[Operation], starts: Sequence[str]) -> list[Violation]:
    """Whether the history is that of a register that began with one of these values."""
    try:
        if any(is_linearizable(operations, start) for start in starts):
            return []
        return [_told(key, operations, starts)]
    except TooLargeError:
        at_s = max(one.call_s for one in operations)
        what = f"{key}: the search was given up; nothing is shown of it"
        return [Violation(NAME, at_s, what)]


def _of_write(write: Write) -> Operation:
    kinds = {Outcome.OK: Kind.SET, Outcome.CONFLICT: Kind.REFUSED, Outcome.UNKNOWN: Kind.MAYBE}
    ended_s = math.inf if write.outcome is Outcome.UNKNOWN else write.ended_s
    return Operation(kinds[write.outcome], write.began_s, ended_s, write.value, write.expected)


def _told(key: str, operations: Sequence[Operation], starts: Sequence[str]) -> Violation:
    """The shortest beginning of the history that cannot be."""
    ends = sorted(one.return_s for one in operations if one.return_s < math.inf)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        known = _until(operations, ends[middle])
        if any(is_linearizable(known, start) for start in starts):
            low = middle + 1
        else:
            high = middle
    last = [one for one in operations if one.return_s == ends[low]][-1]
    deeds = {
        Kind.SET: f"the write of {last.value!r} over {last.expected!r} was acknowledged",
        Kind.REFUSED: f"a write over {last.expected!r} met a conflict",
        Kind.READ: f"a read found {last.value!r}",
    }
    return Violation(
        NAME,
        last.return_s,
        f"{key}: {deeds[last.kind]}, which no order of the {low + 1} operations that had "
        "ended by then explains: an acknowledged write was lost or reordered",
    )


def _until(operations: Sequence[Operation], end_s: float) -> list[Operation]:
    """What was known then: who had not returned may or may not have written."""
    found = []
    for one in operations:
        if one.return_s <= end_s:
            found.append(one)
        elif one.call_s <= end_s and one.kind in (Kind.SET, Kind.MAYBE):
            found.append(Operation(Kind.MAYBE, one.call_s, math.inf, one.value, one.expected))
    return found


def _revisions(writes: Sequence[Write], reads: Sequence[Read]) -> list[Violation]:
    """Acknowledgements in the order of their revisions, which real time must not contradict."""
    found = []
    known = [one for one in writes if one.outcome is Outcome.OK and one.revision is not None]
    by_revision = sorted(known, key=lambda one: (one.revision or 0, one.ended_s))
    latest_call: Write | None = None
    for one in by_revision:
        if latest_call is not None and one.ended_s < latest_call.began_s:
            found.append(
                Violation(
                    NAME,
                    latest_call.ended_s,
                    f"{one.key} was acknowledged at revision {one.revision}, before the write of "
                    f"{latest_call.key} began that got revision {latest_call.revision}",
                )
            )
        if latest_call is None or one.began_s > latest_call.began_s:
            latest_call = one
    values = {(one.key, one.revision): one.value for one in known}
    for read in reads:
        written = values.get((read.key, read.revision))
        if written is not None and written != read.value:
            found.append(
                Violation(
                    NAME,
                    read.ended_s,
                    f"{read.key} at revision {read.revision} was read as {read.value!r}; "
                    f"{written!r} was acknowledged there",
                )
            )
    return found
