"""Folding keys into a catalog's tables: the one place where a key's state becomes what others see.

A `Folding` is opened on the tables of one catalog, told the new states, and closed into the tables of the next one
together with what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from immutables import Map

from store.catalog.parts import CatalogChange, CatalogObject, Quarantined, Remembered
from store.keys import AdmissionKey, HostKey, parse_key
from store.objects.base import ObjectRef

if TYPE_CHECKING:
    from store.catalog.decoding import Decodings
    from store.catalog.generations import KeyState, Recall
    from store.diagnostics import Diagnostic
    from store.snapshot import Entry

__all__ = ["Folding", "Tables", "unserved"]


@dataclass(frozen=True, slots=True)
class Tables:
    """What a catalog knows, by key, by object and by host."""

    states: Map[str, KeyState] = field(default_factory=Map)
    """Every key of an object or a host."""
    objects: Map[ObjectRef, CatalogObject] = field(default_factory=Map)
    """The objects in force."""
    hosts: Map[str, Entry] = field(default_factory=Map)
    """The hosts' registrations in force."""
    admissions: Map[str, Entry] = field(default_factory=Map)
    """What administrators say about hosts, by host."""
    quarantined: Map[str, Quarantined] = field(default_factory=Map)
    """Values that do not serve, by key."""
    recalls: Map[str, Recall] = field(default_factory=Map)
    """Open questions, by key."""
    remembered: Map[str, Remembered] = field(default_factory=Map)
    """What goes to disk beside the snapshot, by key."""


class Folding:
    """One step from tables to tables.

    Args:
        tables: The tables before; they stay as they are.
        decodings: Where parsed models are kept.
    """

    def __init__(self, tables: Tables, decodings: Decodings) -> None:
        self._decodings = decodings
        self._states = tables.states.mutate()
        self._objects = tables.objects.mutate()
        self._hosts = tables.hosts.mutate()
        self._admissions_before = tables.admissions
        self._admissions = tables.admissions.mutate()
        self._quarantined = tables.quarantined.mutate()
        self._recalls = tables.recalls.mutate()
        self._remembered = tables.remembered.mutate()
        self._refs: set[ObjectRef] = set()
        self._changed_hosts: set[str] = set()
        self._changed_admissions: set[str] = set()
        self._asked: dict[str, Recall] = {}
        self._quarantine_changed = False

    def state(self, key: str) -> KeyState | None:
        """The state of `key` as it stands now."""
        return self._states.get(key)

    def begin(self, ref: ObjectRef, state: KeyState) -> None:
        """Give the key of an object that is not known yet a state in which its newest generation serves."""
        serving = state.newest
        self._states[serving.key] = state
        self._refs.add(ref)
        self._objects[ref] = CatalogObject(ref, serving, self._decodings)

    def put(self, key: str, after: KeyState | None) -> None:
        """Give `key` a new state; None means that the key is gone."""
        before = self._states.get(key)
        if after is None:
            if before is not None:
                del self._states[key]
        else:
            self._states[key] = after
        self._serve(
            key,
            before.serving if before is not None else None,
            after.serving if after is not None else None,
        )
        self._ask(key, after.recall if after is not None else None)
        if after is not None and (after.problems or after.refusals):
            self._remembered[key] = _remembered(key, after)
        elif key in self._remembered:
            del self._remembered[key]
        spoilt = after if after is not None and after.problems else None
        self.quarantine(key, _quarantined(key, spoilt) if spoilt is not None else None)

    def quarantine(self, key: str, row: Quarantined | None) -> None:
        """List `key` as quarantined, or take it off the list."""
        if self._quarantined.get(key) == row:
            return
        self._quarantine_changed = True
        if row is None:
            del self._quarantined[key]
        else:
            self._quarantined[key] = row

    def finish(self) -> tuple[Tables, CatalogChange, tuple[Recall, ...]]:
        """Close: the tables after, what changed, and the questions that are new."""
        tables = Tables(
            self._states.finish(),
            self._objects.finish(),
            self._hosts.finish(),
            self._admissions.finish() if self._changed_admissions else self._admissions_before,
            self._quarantined.finish(),
            self._recalls.finish(),
            self._remembered.finish(),
        )
        change = CatalogChange(
            frozenset(self._refs),
            frozenset(self._changed_hosts),
            self._quarantine_changed,
            frozenset(self._changed_admissions),
        )
        return tables, change, tuple(self._asked.values())

    def _serve(self, key: str, before: Entry | None, after: Entry | None) -> None:
        if before == after:
            return
        if before is not None:
            self._decodings.supersede(before)
        named = parse_key(key)
        if isinstance(named, ObjectRef):
            self._refs.add(named)
            if after is None:
                del self._objects[named]
            else:
                self._objects[named] = CatalogObject(named, after, self._decodings)
        elif isinstance(named, HostKey):
            self._changed_hosts.add(named.host)
            if after is None:
                del self._hosts[named.host]
            else:
                self._hosts[named.host] = after
        elif isinstance(named, AdmissionKey):
            self._changed_admissions.add(named.host)
            if after is None:
                del self._admissions[named.host]
            else:
                self._admissions[named.host] = after

    def _ask(self, key: str, recall: Recall | None) -> None:
        if self._recalls.get(key) == recall:
            return
        if recall is None:
            del self._recalls[key]
            self._asked.pop(key, None)
        else:
            self._recalls[key] = recall
            self._asked[key] = recall


def unserved(entry: Entry, problems: tuple[Diagnostic, ...]) -> Quarantined:
    """The row of a value that no generation can stand in for: a key outside the layout, an unreadable format."""
    place = f"{entry.key}@{entry.mod_revision}"
    placed = tuple(_placed(problem, place) for problem in problems)
    return Quarantined(entry.key, None, entry.mod_revision, entry.version, placed, None)


def _remembered(key: str, state: KeyState) -> Remembered:
    return Remembered(
        key,
        state.newest.mod_revision,
        state.serving,
        refusals=state.refusals,
        recall=state.recall,
        certain=state.certain,
        inherited=state.inherited,
    )


def _quarantined(key: str, state: KeyState) -> Quarantined:
    named = parse_key(key)
    ref = named if isinstance(named, ObjectRef) else None
    newest = state.newest
    place = f"{ref or key}@{newest.mod_revision}"
    return Quarantined(
        key,
        ref,
        newest.mod_revision,
        newest.version,
        tuple(_placed(problem, place) for problem in state.problems),
        state.serving.mod_revision if state.serving is not None else None,
        searching=state.recall is not None,
        certain=state.certain,
    )


def _placed(problem: Diagnostic, place: str) -> Diagnostic:
    return replace(problem, file=place, object=problem.object or place.rpartition("@")[0])
