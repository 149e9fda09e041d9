"""The catalog: the objects and registrations in force, folded from snapshots.

A snapshot holds whatever the store holds; the catalog holds what may serve. A value that cannot be read, that breaks
a rule or that Envoy refused is quarantined: it is listed with its reason, and the last valid generation of the key
stays in force (`store.catalog.generations` says which that is). Nothing that is wrong with one key touches another.

Immutable. Each step costs in proportion to what changed; the first one to the whole. Iteration order of the mappings
is arbitrary: whoever needs an order sorts.

The first step of a large mesh may put the judgement of objects off (`put_off_from`): they are in force, and judged
when someone asks whether they serve (`CatalogObject.serves`), or by `judge`. One that is found to be bad serves nobody
from that moment on; `settle` then quarantines it as `apply` would have done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from store.catalog.decoding import Decodings
from store.catalog.folding import Folding, Tables, unserved
from store.catalog.formats import FormatUnreadable, refusal_of_format
from store.catalog.generations import KeyState, Recall, Refusal, fold, recollect, refuse
from store.catalog.parts import CatalogChange, CatalogMemory, Quarantined, Remembered
from store.diagnostics import diagnose
from store.keys import FORMAT_KEY, FormatKey, object_key, parse_key
from store.objects.kinds import Kind, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.catalog.decoding import DecodedValue
    from store.catalog.generations import Compacted
    from store.catalog.parts import CatalogObject
    from store.diagnostics import Diagnostic
    from store.objects.admission import Admission
    from store.objects.base import MeshObject
    from store.objects.host import HostRegistration
    from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["Catalog", "CatalogStep"]

_PUT_OFF = frozenset({Kind.VIRTUAL_SERVICE, Kind.DESTINATION_RULE, Kind.SERVICE_ENTRY})
"""Kinds of which a mesh has many and a host uses few."""


@dataclass(frozen=True, slots=True)
class CatalogStep:
    """The outcome of one step."""

    catalog: Catalog
    """The catalog after it."""
    change: CatalogChange
    """What differs from the one before."""
    recalls: tuple[Recall, ...] = ()
    """Effects: earlier values to look up and hand to `Catalog.recalled`."""


class Catalog:
    """What is in force. Begin with `Catalog.empty`, go on with `apply`, `recalled` and `reject`."""

    def __init__(
        self,
        tables: Tables,
        decodings: Decodings,
        *,
        snapshot: Snapshot | None = None,
        refusal: str = "",
        memory: CatalogMemory = (),
        is_judged: bool = False,
        put_off_from: int | None = None,
    ) -> None:
        self._put_off_from = put_off_from
        self._tables = tables
        self._decodings = decodings
        self._memory = memory
        self._is_judged = is_judged
        self.snapshot = snapshot
        """The snapshot that this catalog was folded from; None before the first."""
        self.refusal = refusal
        """Why newer snapshots are not loaded (a stored format newer than this version); empty otherwise."""

    @classmethod
    def empty(
        cls,
        *,
        memory: CatalogMemory = (),
        is_judged: bool = False,
        put_off_from: int | None = None,
        decode: Callable[[str, bytes], DecodedValue] | None = None,
    ) -> Catalog:
        """The catalog before the first snapshot.

        Args:
            memory: What a former run remembered beside the snapshot that is applied first.
            is_judged: Whether the same rules found every object and host of that snapshot valid that `memory` does
                not name: then they are not judged again.
            put_off_from: Keys from which on the first step puts judgements off; None for never.
            decode: Reads one stored value; `store.codec.decode` unless given.
        """
        if decode is not None:
            decodings = Decodings(decode)
        else:
            from store import codec

            decodings = Decodings(codec.decode, codec.parse)
        return cls(
            Tables(), decodings, memory=memory, is_judged=is_judged, put_off_from=put_off_from
        )

    @property
    def label(self) -> tuple[Epoch, int] | None:
        """Epoch and revision of the snapshot; None before the first."""
        return (self.snapshot.epoch, self.snapshot.revision) if self.snapshot is not None else None

    @property
    def objects(self) -> Mapping[ObjectRef, CatalogObject]:
        """The objects in force."""
        return self._tables.objects

    @cached_property
    def hosts(self) -> Mapping[str, HostRegistration]:
        """The hosts' registrations in force, parsed when asked for."""
        return _Hosts(self._tables.hosts, self._decodings)

    @property
    def admission_entries(self) -> Mapping[str, Entry]:
        """The values of `admissions`; the same mapping while nothing changes."""
        return self._tables.admissions

    @cached_property
    def admissions(self) -> Mapping[str, Admission]:
        """What administrators say about hosts: the last valid word on each, by host."""
        return {host: self._admission(entry) for host, entry in self._tables.admissions.items()}

    def admission(self, host: str) -> Admission | None:
        """What administrators say about one host; None: nothing."""
        entry = self._tables.admissions.get(host)
        return None if entry is None else self._admission(entry)

    @cached_property
    def quarantined(self) -> tuple[Quarantined, ...]:
        """Every value that the store holds and that does not serve, sorted by key."""
        return tuple(row for _, row in sorted(self._tables.quarantined.items()))

    @property
    def recalls(self) -> tuple[Recall, ...]:
        """All open questions."""
        return tuple(self._tables.recalls.values())

    @property
    def memory(self) -> CatalogMemory:
        """What must be kept beside the snapshot so that a restart without etcd serves the same."""
        return tuple(self._tables.remembered.values())

    def model(self, ref: ObjectRef) -> MeshObject:
        """The parsed object in force.

        Raises:
            KeyError: No such object is in force.
        """
        return self._tables.objects[ref].model

    def apply(self, snapshot: Snapshot) -> CatalogStep:
        """Fold the next snapshot in. A store in a newer format is not loaded: see `refusal`."""
        stored_format = snapshot.get(FORMAT_KEY)
        unreadable: Quarantined | None = None
        if stored_format is not None:
            try:
                refusal = refusal_of_format(stored_format.value)
            except FormatUnreadable as error:
                unreadable = _bad_format(stored_format, error)
            else:
                if refusal:
                    return self._step(self._folding(), refusal=refusal)
        folding = self._folding()
        folding.quarantine(FORMAT_KEY, unreadable)
        if self.snapshot is None:
            self._fold_all(folding, snapshot)
        else:
            for key in sorted(snapshot.changes_since(self.snapshot)):
                found = snapshot.get(key)
                if found is None:
                    self._decodings.drop(key)
                    folding.put(key, None)
                else:
                    self._fold(folding, found, snapshot.epoch, None)
        tables, change, recalls = folding.finish()
        return CatalogStep(Catalog(tables, self._decodings, snapshot=snapshot), change, recalls)

    @property
    def unjudged(self) -> int:
        """How many objects in force have not been judged yet."""
        return self._decodings.unjudged

    @property
    def is_judged(self) -> bool:
        """Whether everything in force was found valid by the rules of this program, now or in a former run."""
        return not self._decodings.owed

    def judge(self, count: int) -> CatalogStep:
        """Judge up to `count` objects that nobody has asked for yet, and quarantine what is bad."""
        self._decodings.judge_some(count)
        return self.settle()

    def settle(self) -> CatalogStep:
        """Quarantine what was found to be bad since the last step; changes nothing when there is nothing."""
        if not self._decodings.has_news:
            return CatalogStep(self, CatalogChange())
        folding = self._folding()
        for entry in self._decodings.take_spoilt():
            state = folding.state(entry.key)
            if state is not None and state.newest is entry:
                folding.put(entry.key, fold(None, entry, state.epoch, self._decodings.verdict))
        return self._step(folding, refusal=self.refusal)

    def recalled(self, recall: Recall, answer: Entry | Compacted | None) -> CatalogStep:
        """Take the answer to a question; one that is no longer open changes nothing."""
        folding = self._folding()
        state = folding.state(recall.key)
        if state is not None:
            folding.put(recall.key, recollect(state, recall, answer, self._decodings.verdict))
        return self._step(folding, refusal=self.refusal)

    def reject(
        self, ref: ObjectRef, mod_revision: int, reason: str, *, crashed: bool = False
    ) -> CatalogStep:
        """Quarantine one generation of an object, because Envoy refused what was made from it, or crashed on it.

        Args:
            ref: The object.
            mod_revision: The generation that was in force; another one in force now changes nothing.
            reason: Envoy's words, or how it crashed.
            crashed: Whether it crashed.
        """
        key = object_key(ref)
        folding = self._folding()
        state = self._judged_state(folding, key)
        if state is not None:
            refusal = Refusal(mod_revision, reason, crashed)
            folding.put(key, refuse(state, refusal, _refused(refusal)))
        return self._step(folding, refusal=self.refusal)

    def _admission(self, entry: Entry) -> Admission:
        from store.objects.admission import Admission

        model = self._decodings.model(entry)
        assert isinstance(model, Admission)
        return model

    def _folding(self) -> Folding:
        return Folding(self._tables, self._decodings)

    def _fold_all(self, folding: Folding, snapshot: Snapshot) -> None:
        """The first snapshot, with what a former run remembered beside it."""
        remembered = {row.key: row for row in self._memory}
        puts_off = self._put_off_from is not None and len(snapshot) >= self._put_off_from
        for entry in snapshot.entries():
            known = remembered.get(entry.key)
            named = parse_key(entry.key) if puts_off and known is None else None
            if isinstance(named, ObjectRef) and named.kind in _PUT_OFF:
                self._decodings.put_off(entry, was_judged=self._is_judged)
                folding.begin(named, KeyState(snapshot.epoch, entry, entry))
            else:
                self._fold(folding, entry, snapshot.epoch, known)

    def _judged_state(self, folding: Folding, key: str) -> KeyState | None:
        """The state of a key, judged where that was put off."""
        state = folding.state(key)
        if state is None or state.serving is None or self._decodings.serves(state.serving):
            return state
        return fold(None, state.newest, state.epoch, self._decodings.verdict)

    def _fold(
        self, folding: Folding, entry: Entry, epoch: Epoch, remembered: Remembered | None
    ) -> None:
        named = parse_key(entry.key)
        if isinstance(named, FormatKey):
            return
        if named is None:
            folding.quarantine(entry.key, unserved(entry, self._decodings.verdict(entry)))
            return
        if self._is_judged and self.snapshot is None and remembered is None:
            self._decodings.take_for_valid(entry)
        state = self._from_memory(entry, epoch, remembered) if remembered is not None else None
        if state is None:
            before = self._judged_state(folding, entry.key)
            state = fold(before, entry, epoch, self._decodings.verdict)
        folding.put(entry.key, state)

    def _from_memory(self, entry: Entry, epoch: Epoch, remembered: Remembered) -> KeyState | None:
        """The state as the former run left it; None when it no longer fits."""
        if remembered.newest_revision != entry.mod_revision:
            return None
        verdict = self._decodings.verdict
        refused = {refusal.mod_revision: refusal for refusal in remembered.refusals}
        problems = verdict(entry)
        if not problems and entry.mod_revision in refused:
            problems = (_refused(refused[entry.mod_revision]),)
        if not problems:
            return KeyState(epoch, entry, entry, refusals=remembered.refusals)
        if remembered.serving is not None and verdict(remembered.serving):
            return None
        return KeyState(
            epoch,
            entry,
            remembered.serving,
            problems,
            refusals=remembered.refusals,
            recall=remembered.recall,
            certain=remembered.certain,
            inherited=remembered.inherited,
        )

    def _step(self, folding: Folding, *, refusal: str) -> CatalogStep:
        tables, change, recalls = folding.finish()
        catalog = Catalog(
            tables,
            self._decodings,
            snapshot=self.snapshot,
            refusal=refusal,
            memory=self._memory,
            is_judged=self._is_judged,
            put_off_from=self._put_off_from,
        )
        return CatalogStep(catalog, change, recalls)


class _Hosts(Mapping[str, "HostRegistration"]):
    """Registrations by host, parsed when asked for."""

    def __init__(self, entries: Mapping[str, Entry], decodings: Decodings) -> None:
        self._entries = entries
        self._decodings = decodings

    def __getitem__(self, host: str) -> HostRegistration:
        from store.objects.host import HostRegistration

        model = self._decodings.model(self._entries[host])
        assert isinstance(model, HostRegistration)
        return model

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _refused(refusal: Refusal) -> Diagnostic:
    if refusal.crashed:
        return diagnose(
            "MESH0404",
            f"Envoy crashed with what was made from it: {refusal.reason}",
            hint="Change the object, then put it again; until then the generation that Envoy lived with serves",
        )
    return diagnose(
        "MESH0402",
        f"Envoy refused what was made from it: {refusal.reason}",
        hint="Correct the object and put it again; until then its last accepted generation serves",
    )


def _bad_format(entry: Entry, error: FormatUnreadable) -> Quarantined:
    problem = diagnose(
        "MESH0403",
        f"the format key cannot be read: {error}",
        hint="Put back the value that `meshd put` writes; the store is read as before",
    )
    return unserved(entry, (problem,))
