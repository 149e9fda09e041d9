"""The mesh as it would be with some objects written, and the questions that every check asks it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from meshd.analysis.written import Written
from sidecar.mesh.facts import DestinationRuleFacts, Facts
from sidecar.mesh.mesh import Mesh
from sidecar.mesh.model import Context, HostName
from sidecar.mesh.names import is_wildcard, resolve, subset_of
from sidecar.mesh.source import ObjectInForce, ObjectSource
from sidecar.mesh.view import View
from store.diagnostics import Diagnostic, Path, diagnose, nearest_hint
from store.objects.base import MeshObject, ObjectRef
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot

__all__ = ["World", "path_of"]

COMPARED_MAX = 20_000
"""Names that wrong ones are compared with at most, in all: each takes some 20 microseconds, for a mere hint."""

FactsT = TypeVar("FactsT", bound=Facts)
ModelT = TypeVar("ModelT", bound=MeshObject)

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class _AsIfInForce:
    """One object of the mesh as it would be."""

    ref: ObjectRef
    entry: Entry
    model: MeshObject
    serves: bool = True
    outline: None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """What a mesh is built from."""

    objects: Mapping[ObjectRef, ObjectInForce]
    hosts: Mapping[str, HostRegistration]
    snapshot: Snapshot | None = None


class World:
    """The mesh with `written` in force beside, and in place of, what is stored.

    Args:
        stored: The objects and registrations in force; None when they are not known: then nothing is said to be
            missing that may be there.
        written: Objects about to be written; of several with one identity the last counts.
        is_whole: Whether `stored` is everything, or only the part of it that may be read.
    """

    def __init__(
        self,
        stored: ObjectSource | None,
        written: Sequence[Written] = (),
        *,
        is_whole: bool = True,
    ) -> None:
        self.is_whole = is_whole and stored is not None
        """Whether all objects and registrations are known, so that what is not here does not exist."""
        self.written: dict[ObjectRef, Written] = {one.ref: one for one in written}
        """The objects about to be written."""
        self._stored = stored
        self._views: dict[str, View] = {}
        self._compared = 0

    @cached_property
    def mesh(self) -> Mesh:
        """All objects, those too that break rules of their own."""
        return self._built(self.written)

    @cached_property
    def sound_mesh(self) -> Mesh:
        """The objects that are valid by themselves: what routing tables can be built from."""
        sound = {ref: one for ref, one in self.written.items() if one.is_valid}
        return self.mesh if len(sound) == len(self.written) else self._built(sound)

    @cached_property
    def stray_rules(self) -> tuple[DestinationRuleFacts, ...]:
        """The DestinationRules whose host no service has, in any namespace."""
        known = self.mesh.services
        return tuple(
            facts
            for facts in self.facts(DestinationRuleFacts)
            if not known.namespaces_of(facts.host)
            and not (
                is_wildcard(facts.host) and any(subset_of(h, facts.host) for h in known.hosts())
            )
        )

    @cached_property
    def rules_for_some(self) -> Mapping[HostName, tuple[DestinationRuleFacts, ...]]:
        """The DestinationRules that are for chosen client workloads only, by host."""
        found: dict[HostName, tuple[DestinationRuleFacts, ...]] = {}
        for facts in self.facts(DestinationRuleFacts):
            if facts.selector is not None:
                found[facts.host] = (*found.get(facts.host, ()), facts)
        return found

    def view(self, namespace: str) -> View:
        """What a workload of a namespace, without labels, sees."""
        if namespace not in self._views:
            self._views[namespace] = View(self.mesh, Context("", namespace))
        return self._views[namespace]

    def facts(self, kind: type[FactsT]) -> list[FactsT]:
        """All that the mesh knows of one kind, oldest first."""
        found = [facts for facts in self.mesh.facts.values() if isinstance(facts, kind)]
        return sorted(found, key=lambda facts: (facts.create_revision, facts.ref))

    def model(self, ref: ObjectRef, kind: type[ModelT]) -> ModelT:
        """The object `ref`, which must be in the mesh."""
        model = self.mesh.objects[ref].model
        assert isinstance(model, kind), f"{ref} is a {type(model).__name__}"
        return model

    def resolve(self, name: str, namespace: str) -> HostName:
        """The full name of a host that an object of `namespace` mentions."""
        return resolve(name, namespace, self.mesh.config.domain)

    def named(self, ref: ObjectRef, path: Path = ()) -> str:
        """An object in a message, with file and line of a place in it where it is about to be written."""
        one = self.written.get(ref)
        return str(ref) if one is None else f"{ref} ({one.file}:{one.locate(path)[0]})"

    def did_you_mean(self, name: str, known: Iterable[str]) -> str:
        """`did you mean "X"?`, or nothing, as also when there have been too many questions."""
        names = sorted(known)
        self._compared += len(names)
        return nearest_hint(name, names) if self._compared <= COMPARED_MAX else ""

    def problem(
        self,
        code: str,
        ref: ObjectRef,
        path: Path,
        message: str,
        hint: str = "",
        *,
        at_key: bool = False,
    ) -> Diagnostic:
        """A problem of one object: placed in its file when it is about to be written, else named with its revision."""
        one = self.written.get(ref)
        if one is not None:
            file, place = one.file, one.locate(path, at_key=at_key)
        else:
            file, place = f"{ref}@{self.mesh.objects[ref].entry.mod_revision}", (0, 0)
        return diagnose(code, message, path=path, hint=hint, file=file, place=place, about=str(ref))

    def _built(self, written: Mapping[ObjectRef, Written]) -> Mesh:
        stored = self._stored
        objects: dict[ObjectRef, ObjectInForce] = {} if stored is None else {**stored.objects}
        snapshot = None if stored is None else stored.snapshot
        revision = 1 if snapshot is None else snapshot.revision + 1
        for ref, one in written.items():
            old = objects.get(ref)
            created = revision if old is None else old.entry.create_revision
            version = 1 if old is None else old.entry.version + 1
            entry = Entry(str(ref), b"", created, revision, version)
            objects[ref] = _AsIfInForce(ref, entry, one.model)
        hosts = {} if stored is None else stored.hosts
        return Mesh.build(_Source(objects, hosts, snapshot), hosts)


def path_of(text: str) -> Path:
    """A place as provenances tell it (`spec.http[0].match[1]`), in parts."""
    return tuple(int(index) if index else name for name, index in _PART.findall(text))
