"""Which of our rows the mesh is told, on which page, and when again.

Accusations are told at once, and what they became. Other rows are told only about endpoints that others accuse
(counter-evidence on demand), and withdrawn when nobody does any more. A row is told again when it says something
new: another class, a new accusation, twice the failures, progress in a trial, a success later than what the mesh
knows of. All rows are renewed in a third of their lifetime. A row keeps its page, so that one change re-says one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Topic
from sidecar.outlier.events import EndpointName, Say
from sidecar.outlier.evidence import ROWS_MAX
from sidecar.outlier.evidence_codec import destination_bytes, encode_page, row_bytes
from sidecar.outlier.model import Row, RowClass
from sidecar.outlier.sight import TRIAL_SUCCESSES

__all__ = ["RENEWALS", "RENEWAL_S_MAX", "Telling", "is_news"]

RENEWALS = 3
"""Renewals in the lifetime of a row: two may be lost."""
RENEWAL_S_MAX = 5.0
"""However long rows may live: gossip itself drops records of evidence that are older than 15 s."""


class Telling:
    """What the mesh has been told by us."""

    def __init__(self) -> None:
        self.said: dict[EndpointName, Row] = {}
        """Our rows as the mesh knows them."""
        self.unsaid = 0
        """Rows that found no room, in all."""
        self._pages: dict[EndpointName, int] = {}
        self._said_at: dict[int, float] = {}
        self._dirty: set[int] = set()

    def tell(self, row: Row) -> bool:
        """Say this row from now on; False where there is no room, not even in the place of a milder one."""
        name = (row.destination, row.place)
        if name not in self._pages:
            page = self._room(row)
            while page is None and row.row_class is RowClass.BAD and self._drop_mild():
                page = self._room(row)
            if page is None:
                self.unsaid += 1
                return False
            self._pages[name] = page
        self.said[name] = row
        self._dirty.add(self._pages[name])
        return True

    def withdraw(self, name: EndpointName) -> bool:
        """Say this row no more; whether it was said."""
        if self.said.pop(name, None) is None:
            return False
        self._dirty.add(self._pages.pop(name))
        return True

    def renew(
        self, now_s: float, lifetime_s: float, current: Callable[[EndpointName], Row | None]
    ) -> set[EndpointName]:
        """Refresh the pages whose time has come.

        Args:
            now_s: The time.
            lifetime_s: Rows die after it.
            current: What we would say now; None withdraws the row.

        Returns:
            The endpoints of the rows that were refreshed or withdrawn.
        """
        touched = set()
        for page in self._due(now_s, lifetime_s):
            self._dirty.add(page)
            for name in self._rows_on(page):
                touched.add(name)
                row = current(name)
                if row is None:
                    self.withdraw(name)
                else:
                    self.said[name] = row
        return touched

    def speak(self, now_s: float) -> list[Say]:
        """The pages that changed since the last time."""
        spoken = []
        for page in sorted(self._dirty):
            rows = [self.said[name] for name in self._rows_on(page)]
            spoken.append(Say(Topic.EVIDENCE, page, encode_page(rows, now_s)))
            if rows:
                self._said_at[page] = now_s
            else:
                self._said_at.pop(page, None)
        self._dirty.clear()
        return spoken

    def deadline(self, lifetime_s: float) -> float | None:
        """When the next page is to be renewed; None when nothing is said."""
        oldest = min(self._said_at.values(), default=None)
        return None if oldest is None else oldest + _renewal_s(lifetime_s)

    def _due(self, now_s: float, lifetime_s: float) -> list[int]:
        return [
            page for page, at_s in self._said_at.items() if at_s + _renewal_s(lifetime_s) <= now_s
        ]

    def _rows_on(self, page: int) -> list[EndpointName]:
        return sorted(name for name, at in self._pages.items() if at == page)

    def _room(self, row: Row) -> int | None:
        """A page with room for the row: one that has its destination, else the emptiest."""
        if len(self.said) >= ROWS_MAX:
            return None
        best: tuple[int, int, int] | None = None
        for page in range(PAGES_MAX):
            held = [self.said[name] for name, at in self._pages.items() if at == page]
            known = any(one.destination == row.destination for one in held)
            taken = _bytes([*held, row])
            if taken <= RECORD_BODY_BYTES_MAX:
                rank = (0 if known else 1, taken, page)
                best = rank if best is None else min(best, rank)
        return None if best is None else best[2]

    def _drop_mild(self) -> bool:
        mild = [name for name, row in self.said.items() if row.row_class is not RowClass.BAD]
        if not mild:
            return False
        return self.withdraw(max(mild))


def _renewal_s(lifetime_s: float) -> float:
    return min(RENEWAL_S_MAX, lifetime_s / RENEWALS)


def _bytes(rows: Iterable[Row]) -> int:
    """The most that these rows take as a page."""
    rows = list(rows)
    destinations = {row.destination for row in rows}
    return sum(map(row_bytes, rows)) + sum(map(destination_bytes, destinations))


def is_news(said: Row, row: Row, accusations: Mapping[str, Row], *, on_trial: bool = False) -> bool:
    """Whether a row says something that the mesh should know before the next renewal.

    Args:
        said: The row as the mesh knows it.
        row: As it is now.
        accusations: Of the same endpoint, by others.
        on_trial: Whether we try the endpoint now: then each success counts.
    """
    if (said.row_class, said.generation) != (row.row_class, row.generation):
        return True
    if row.row_class is RowClass.BAD:
        if (said.accused_s, said.since_s) != (row.accused_s, row.since_s):
            return True
        if _failures(row) >= 2 * max(1, _failures(said)):
            return True
    if on_trial and min(said.ok_run, TRIAL_SUCCESSES) != min(row.ok_run, TRIAL_SUCCESSES):
        return True
    if row.row_class is not RowClass.CLEAR:
        return False
    # A success counts against accusations whose failures began before it.
    newest = max((one.first_failure_s for one in accusations.values()), default=None)
    return newest is not None and said.last_ok_s <= newest < row.last_ok_s


def _failures(row: Row) -> int:
    return row.external + row.gateway + row.local
