"""Whom not to believe: observers whose accusations the others contradict.

An accusation is contradicted when two others (by address) succeed with the endpoint after the accuser's failures
began, and did so before they could have been let back to it by a trial. An observer with two contradicted
accusations or more, that are half of all its accusations or more, is sick or lies: none of its rows counts. A count
of raw accusations would not do: with three endpoints, one bad, an honest observer accuses a third of what it sees.

A function of the rows that live: no host needs to have seen more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sidecar.outlier.events import EndpointName
from sidecar.outlier.evidence import Evidence
from sidecar.outlier.model import Destination, Observer, Row, RowClass

__all__ = ["Suspects"]

_CONTRADICTORS = 2
_CONTRADICTED_MIN = 2
_CONTRADICTED_SHARE = 0.5


class Suspects:
    """The observers that are not believed.

    Args:
        evidence: All rows.
        patience_s: For a destination: a success so long after an accusation contradicts it no more, since the
            endpoint may have recovered.
    """

    def __init__(self, evidence: Evidence, patience_s: Callable[[Destination], float]) -> None:
        self._evidence = evidence
        self._patience_s = patience_s
        self._accusations: dict[str, dict[EndpointName, bool]] = {}
        self._accusers: dict[EndpointName, tuple[str, ...]] = {}
        self.ignored: frozenset[str] = frozenset()
        """They do not count."""

    def accused(self) -> set[EndpointName]:
        """All endpoints that anybody accuses."""
        return set(self._accusers)

    def judge(
        self, names: Iterable[EndpointName], observers: Mapping[str, Observer]
    ) -> frozenset[str]:
        """Rows of these endpoints changed; the observers that are believed now and were not, or the reverse."""
        touched: set[str] = set()
        for name in names:
            touched |= self._look_at(name, observers)
        before = self.ignored
        now = set(before)
        for node in touched:
            (now.add if self._is_suspect(node) else now.discard)(node)
        self.ignored = frozenset(now)
        return before ^ self.ignored

    def _look_at(self, name: EndpointName, observers: Mapping[str, Observer]) -> set[str]:
        rows = self._evidence.about(name)
        for node in self._accusers.get(name, ()):
            found = self._accusations[node]
            del found[name]
            if not found:
                del self._accusations[node]
        accusers = tuple(node for node, row in rows.items() if row.row_class is RowClass.BAD)
        touched = set(self._accusers.pop(name, ())) | set(accusers)
        if not accusers:
            return touched
        self._accusers[name] = accusers
        clear = [
            (_voter(node, observers), row)
            for node, row in rows.items()
            if row.row_class is RowClass.CLEAR and node in observers and observers[node].counts
        ]
        patience_s = self._patience_s(name[0])
        for node in accusers:
            mine = _voter(node, observers)
            found = self._accusations.setdefault(node, {})
            found[name] = _is_contradicted(rows[node], mine, clear, patience_s)
        return touched

    def _is_suspect(self, node: str) -> bool:
        found = self._accusations.get(node, {})
        contradicted = sum(found.values())
        return contradicted >= _CONTRADICTED_MIN and contradicted >= _CONTRADICTED_SHARE * len(
            found
        )


def _voter(node: str, observers: Mapping[str, Observer]) -> str:
    return (observers[node].address or node) if node in observers else node


def _is_contradicted(
    accusation: Row, mine: str, clear: Iterable[tuple[str, Row]], patience_s: float
) -> bool:
    opposing: set[str] = set()
    for voter, row in clear:
        if voter != mine and _contradicts(row, accusation, patience_s):
            opposing.add(voter)
            if len(opposing) >= _CONTRADICTORS:
                return True
    return False


def _contradicts(clear: Row, accusation: Row, patience_s: float) -> bool:
    return (
        clear.generation == accusation.generation
        and clear.last_ok_s > accusation.first_failure_s
        and clear.since_s < accusation.since_s + patience_s
    )
