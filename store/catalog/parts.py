"""The values that a catalog is made of and speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.catalog.decoding import Decodings
    from store.catalog.generations import Recall, Refusal
    from store.diagnostics import Diagnostic
    from store.objects.base import MeshObject, ObjectRef
    from store.snapshot import Entry

__all__ = ["CatalogChange", "CatalogMemory", "CatalogObject", "Quarantined", "Remembered"]


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """One object as it is in force: not always the newest that the store holds."""

    ref: ObjectRef
    """Its identity."""
    entry: Entry
    """The generation in force."""
    decodings: Decodings = field(repr=False, compare=False)
    """Where parsed models are kept."""

    @property
    def model(self) -> MeshObject:
        """The parsed object; ask only for one that `serves`."""
        from store.objects.base import MeshObject

        model = self.decodings.model(self.entry)
        assert isinstance(model, MeshObject)
        return model

    @property
    def serves(self) -> bool:
        """Whether it is valid; where that has not been looked at yet, it is now. One that is not serves nobody."""
        return self.decodings.serves(self.entry)

    @property
    def outline(self) -> Mapping[str, Any] | None:
        """The value as JSON that nobody has checked, for an index of names; None when it is no JSON."""
        from store.codec import outline

        return outline(self.entry.value)

    @property
    def document(self) -> Mapping[str, Any]:
        """The object as published."""
        return self.decodings.document(self.entry)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A value that the store holds and that does not serve."""

    key: str
    """The key, relative to the prefix."""
    ref: ObjectRef | None
    """The object, where the key names one."""
    revision: int
    """Revision of the bad value."""
    generation: int
    """Generation of the bad value."""
    diagnostics: tuple[Diagnostic, ...]
    """What is wrong with it."""
    serving_revision: int | None
    """Revision of the generation in force instead; None when there is none and the object is absent."""
    searching: bool = False
    """Whether an earlier generation is still being looked for."""
    certain: bool = True
    """False when the generation in force is the best that is remembered, and later valid ones may have been lost."""


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What differs between two catalogs."""

    refs: frozenset[ObjectRef] = frozenset()
    """Objects whose generation in force changed, came or went."""
    hosts: frozenset[str] = frozenset()
    """Hosts whose registration changed, came or went."""
    quarantine: bool = False
    """Whether the list of quarantined values changed."""
    admissions: frozenset[str] = frozenset()
    """Hosts of which administrators say something else than before."""

    def __bool__(self) -> bool:
        return bool(self.refs or self.hosts or self.quarantine or self.admissions)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a restarted sidecar must know about one key that the snapshot alone does not tell."""

    key: str
    """The key, relative to the prefix."""
    newest_revision: int
    """Revision of the value in the snapshot that this belongs to; another one makes it void."""
    serving: Entry | None
    """The generation in force."""
    refusals: tuple[Refusal, ...] = ()
    """Generations that Envoy refused."""
    recall: Recall | None = None
    """The question that was still open."""
    certain: bool = True
    """See `KeyState.certain`."""
    inherited: bool = False
    """See `KeyState.inherited`."""


CatalogMemory = tuple[Remembered, ...]
"""Goes to disk beside the snapshot; empty when nothing is quarantined and Envoy refused nothing."""
