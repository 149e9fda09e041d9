"""Everybody's rows: by destination, endpoint and observer, as long as they live.

A page replaces the page of its host that was heard before. A later boot epoch of a host ends all that its earlier
lives said. Rows die when nothing renews their page. Whether a row counts is not decided here.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from sidecar.gossip.records import PAGES_MAX, Record
from sidecar.outlier.events import EndpointName
from sidecar.outlier.evidence_codec import decode_page
from sidecar.outlier.model import Destination, Place, Row, RowClass
from sidecar.outlier.sight import TRIAL_SUCCESSES

__all__ = ["PAGES_HELD_MAX", "ROWS_MAX", "Evidence"]

ROWS_MAX = 64
"""Rows that one host may say: most meshes have far fewer endpoints in trouble at once."""
PAGES_HELD_MAX = 20_000
"""Pages of all hosts: 10,000 members with two each. A few hundred bytes a row."""

_JITTER_S = 0.1
"""Times of a renewed row that differ by less are the same moment: ages are told in whole milliseconds, and grow on
the way by what clocks and queues make of it."""
_SHARE_STEP = 0.05
"""A share of failures that changed by less changes no judgement before the next look at our own counters."""

_DEATHS_SPARE = 64

_PageName = tuple[str, int]


@dataclass(slots=True)
class _Held:
    epoch: int
    version: int
    dies_s: float
    names: tuple[EndpointName, ...]


class Evidence:
    """The rows that live."""

    def __init__(self) -> None:
        self.pages_refused = 0
        """Pages that could not be read, or found no room."""
        self.rows_refused = 0
        """Rows that broke their rules."""
        self._rows: dict[Destination, dict[Place, dict[str, Row]]] = {}
        self._owners: dict[tuple[EndpointName, str], int] = {}
        """Of each row the page that it stands on, so that an older page does not take it away."""
        self._pages: dict[_PageName, _Held] = {}
        self._epochs: dict[str, int] = {}
        self._deaths: list[tuple[float, _PageName]] = []

    def __len__(self) -> int:
        return len(self._owners)

    def hear(self, record: Record, now_s: float, lifetime_s: float) -> set[EndpointName]:
        """Take in a page; the endpoints whose rows changed."""
        node, name = record.node, (record.node, record.page)
        if record.epoch < self._epochs.get(node, 0):
            return set()
        held = self._pages.get(name)
        if held is not None and (record.epoch, record.version) <= (held.epoch, held.version):
            return set()
        said_s = now_s - max(0, record.age_ms) / 1000
        page = decode_page(record.body, said_s)
        full = held is None and len(self._pages) >= PAGES_HELD_MAX
        if page is None or full or not 0 <= record.page < PAGES_MAX:
            self.pages_refused += 1
            return set()
        touched: set[EndpointName] = set()
        if record.epoch > self._epochs.get(node, 0):
            touched |= self.forget(node)
            self._epochs[node] = record.epoch
        before = {
            one: self.about(one).get(node)
            for one in [(row.destination, row.place) for row in page.rows]
        }
        gone = self._drop(name)
        dies_s = said_s + lifetime_s
        if dies_s <= now_s:
            return touched | gone
        rows = page.rows[: ROWS_MAX - self._rows_of(node)]
        self.rows_refused += page.refused + len(page.rows) - len(rows)
        names = tuple((row.destination, row.place) for row in rows)
        touched |= gone.difference(names)
        for one, row in zip(names, rows, strict=True):
            old = before.get(one)
            if old is None or not _says_the_same(old, row):
                touched.add(one)
            self.put(node, _as_heard(old, row, now_s), record.page)
        self._pages[name] = _Held(record.epoch, record.version, dies_s, names)
        self._expect_death(dies_s, name)
        return touched

    def keep(self, nodes: Container[str]) -> None:
        """Only these hosts are known any more: what others were is forgotten as soon as their rows are dead."""
        speaking = {node for node, _ in self._pages}
        for node in [one for one in self._epochs if one not in nodes and one not in speaking]:
            del self._epochs[node]

    def put(self, node: str, row: Row, page: int = 0) -> None:
        """Hold one row: our own, which does not die by itself, or one of a page."""
        name = (row.destination, row.place)
        places = self._rows.setdefault(row.destination, {})
        places.setdefault(row.place, {})[node] = row
        self._owners[name, node] = page

    def remove(self, node: str, name: EndpointName) -> None:
        """Hold a row no longer."""
        if self._owners.pop((name, node), None) is None:
            return
        places = self._rows[name[0]]
        rows = places[name[1]]
        del rows[node]
        if not rows:
            del places[name[1]]
        if not places:
            del self._rows[name[0]]

    def forget(self, node: str) -> set[EndpointName]:
        """Drop all that this host said; the endpoints that it spoke of."""
        touched: set[EndpointName] = set()
        for name in [name for name in self._pages if name[0] == node]:
            touched |= self._drop(name)
        return touched

    def bury(self, now_s: float) -> set[EndpointName]:
        """Drop pages whose time is over; the endpoints that they spoke of."""
        touched: set[EndpointName] = set()
        while self._deaths and self._deaths[0][0] <= now_s:
            _, name = heapq.heappop(self._deaths)
            held = self._pages.get(name)
            if held is not None and held.dies_s <= now_s:
                touched |= self._drop(name)
        return touched

    def deadline(self) -> float | None:
        """When the first page dies."""
        while self._deaths:
            dies_s, name = self._deaths[0]
            held = self._pages.get(name)
            if held is not None and held.dies_s == dies_s:
                return dies_s
            heapq.heappop(self._deaths)
        return None

    def of(self, destination: Destination) -> Mapping[Place, Mapping[str, Row]]:
        """All rows of a destination."""
        return self._rows.get(destination, {})

    def about(self, name: EndpointName) -> Mapping[str, Row]:
        """All rows of an endpoint, by observer."""
        return self._rows.get(name[0], {}).get(name[1], {})

    def destinations(self) -> Iterable[Destination]:
        """All destinations that somebody speaks of."""
        return self._rows.keys()

    def accusations(self, name: EndpointName, without: str) -> dict[str, Row]:
        """The accusations of an endpoint by others than this host."""
        return {
            node: row
            for node, row in self.about(name).items()
            if row.row_class is RowClass.BAD and node != without
        }

    def _expect_death(self, dies_s: float, name: _PageName) -> None:
        heapq.heappush(self._deaths, (dies_s, name))
        if len(self._deaths) > 2 * len(self._pages) + _DEATHS_SPARE:
            # Pages that were renewed have left their former deaths behind.
            self._deaths = [(held.dies_s, one) for one, held in self._pages.items()]
            heapq.heapify(self._deaths)

    def _rows_of(self, node: str) -> int:
        pages = ((node, page) for page in range(PAGES_MAX))
        return sum(len(self._pages[name].names) for name in pages if name in self._pages)

    def _drop(self, name: _PageName) -> set[EndpointName]:
        held = self._pages.pop(name, None)
        if held is None:
            return set()
        node, page = name
        for one in held.names:
            if self._owners.get((one, node)) == page:
                self.remove(node, one)
        return set(held.names)


def _says_the_same(old: Row, row: Row) -> bool:
    """Whether a renewed row can change no judgement: most renewals only keep a row alive."""
    return (
        (old.row_class, old.generation, old.episode, old.failed_trials)
        == (row.row_class, row.generation, row.episode, row.failed_trials)
        and min(old.ok_run, TRIAL_SUCCESSES) == min(row.ok_run, TRIAL_SUCCESSES)
        and _kinds(old) == _kinds(row)
        and abs(_failing(old) - _failing(row)) < _SHARE_STEP
        and all(abs(was - now) <= _JITTER_S for was, now in _times(old, row) if was != now)
    )


def _as_heard(old: Row | None, row: Row, now_s: float) -> Row:
    """The row with the times that were heard first: each way here takes another time, which shall move nothing."""
    if old is None:
        return replace(row, heard_s=now_s)
    times = [was if abs(was - now) <= _JITTER_S else now for was, now in _times(old, row)]
    is_known = (old.row_class, old.generation, old.since_s) == (
        row.row_class,
        row.generation,
        times[1],
    )
    return replace(
        row,
        first_failure_s=times[0],
        since_s=times[1],
        accused_s=times[2],
        last_ok_s=times[3],
        heard_s=old.heard_s if is_known else now_s,
    )


def _times(old: Row, row: Row) -> tuple[tuple[float, float], ...]:
    return (
        (old.first_failure_s, row.first_failure_s),
        (old.since_s, row.since_s),
        (old.accused_s, row.accused_s),
        (old.last_ok_s, row.last_ok_s),
    )


def _kinds(row: Row) -> tuple[bool, bool, bool]:
    return (row.ok > 0, row.external + row.gateway > 0, row.local > 0)


def _failing(row: Row) -> float:
    failures = row.external + row.gateway + row.local
    return failures / (failures + row.ok) if failures else 0.0
