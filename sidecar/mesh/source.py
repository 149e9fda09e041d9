"""What the mesh needs of a catalog, declared by its consumer; `store.catalog` has the real one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Protocol

from store.objects.base import MeshObject, ObjectRef
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot

__all__ = ["ObjectInForce", "ObjectSource", "SourceChange"]


class ObjectInForce(Protocol):
    """One object as it is in force."""

    @property
    def ref(self) -> ObjectRef:
        """Its identity."""

    @property
    def entry(self) -> Entry:
        """The generation in force."""

    @property
    def serves(self) -> bool:
        """Whether it is valid: asked of each object before what it says counts."""

    @property
    def outline(self) -> Mapping[str, Any] | None:
        """The value as JSON that nobody has checked; None when it is no JSON."""

    @property
    def model(self) -> MeshObject:
        """The parsed object."""


class ObjectSource(Protocol):
    """Every object in force at one revision."""

    @property
    def objects(self) -> Mapping[ObjectRef, ObjectInForce]:
        """The objects, in no order."""

    @property
    def hosts(self) -> Mapping[str, HostRegistration]:
        """What hosts have registered."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot behind it; None when it is empty."""


class SourceChange(Protocol):
    """What differs between two catalogs."""

    @property
    def refs(self) -> Set[ObjectRef]:
        """Objects that changed, came or went."""

    @property
    def hosts(self) -> Set[str]:
        """Hosts whose registration changed, came or went."""
