"""Catalogs made from YAML or documents, for tests of what consumes them.

The real `store.catalog.Catalog` over a snapshot that is made up here. Values are decoded by
`store.objects.parse_object` alone (shape, no rules), so that a test of the mesh does not depend on validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import yaml
from immutables import Map

from store.catalog import Catalog, CatalogChange
from store.diagnostics import Diagnostic
from store.keys import HostKey, host_key, object_key, parse_key
from store.objects import parse_object
from store.objects.base import Model, ObjectRef
from store.objects.host import HostRegistration
from store.objects.kinds import kind_named
from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["EPOCH", "Store", "catalog_of", "documents_of", "registrations_of"]

EPOCH = Epoch(1, 0xC0FFEE)

Document = Mapping[str, object]


def documents_of(objects: str | Iterable[Document]) -> list[Document]:
    """The documents of a YAML text (several, separated by `---`), or those given."""
    if isinstance(objects, str):
        return [document for document in yaml.safe_load_all(objects) if document]
    return list(objects)


def key_of(document: Document) -> str:
    """The key under which a document is stored; namespace `default` when it has none."""
    if document["kind"] == "HostRegistration":
        return host_key(str(document["host"]))
    kind = kind_named(str(document["kind"]))
    assert kind is not None, f"no such kind: {document['kind']}"
    metadata = document["metadata"]
    assert isinstance(metadata, Mapping)
    if kind.value == "MeshConfig":
        return object_key(ObjectRef(kind, "", "mesh"))
    return object_key(ObjectRef(kind, str(metadata.get("namespace", "default")), metadata["name"]))


@dataclass(frozen=True)
class Read:
    """What decoding a value gave."""

    object: Model | None
    document: Document | None
    diagnostics: tuple[Diagnostic, ...] = ()


def decode(key: str, value: bytes) -> Read:
    """Read a stored value by shape alone; raises on a bad one, since tests mean what they store."""
    document = json.loads(value)
    if isinstance(parse_key(key), HostKey):
        return Read(HostRegistration.model_validate(document), document)
    return Read(parse_object(document), document)


class Store:
    """A store that a test writes to; each write is one revision and gives the next catalog.

    Args:
        objects: YAML text or documents, created in the order given, each at a revision of its own.
        decode: How stored values are read.
    """

    def __init__(
        self,
        objects: str | Iterable[Document] = (),
        decode: Callable[[str, bytes], Read] = decode,
    ) -> None:
        self.snapshot = Snapshot.empty(EPOCH)
        self.catalog = Catalog.empty(decode=decode).apply(self.snapshot).catalog
        self.change = CatalogChange()
        """What the last write changed."""
        for document in documents_of(objects):
            self.put([document])

    @property
    def registrations(self) -> Map[str, HostRegistration]:
        """The registrations in the store, as the registration machine would hand them on."""
        return Map({host: self.catalog.hosts[host] for host in self.catalog.hosts})

    def put(self, objects: str | Iterable[Document]) -> Catalog:
        """Write documents in one revision."""
        revision = self.snapshot.revision + 1
        entries = []
        for document in documents_of(objects):
            key = key_of(document)
            value = json.dumps(document).encode()
            old = self.snapshot.get(key)
            if old is None:
                entries.append(Entry(key, value, revision, revision, 1))
            else:
                entries.append(
                    replace(old, value=value, mod_revision=revision, version=old.version + 1)
                )
        return self._step(self.snapshot.apply(entries, (), revision))

    def delete(self, *keys: str | ObjectRef) -> Catalog:
        """Delete keys (relative, such as `hosts/vm-1`) or objects in one revision."""
        named = [key if isinstance(key, str) else object_key(key) for key in keys]
        return self._step(self.snapshot.apply((), named, self.snapshot.revision + 1))

    def _step(self, snapshot: Snapshot) -> Catalog:
        step = self.catalog.apply(snapshot)
        self.snapshot, self.catalog, self.change = snapshot, step.catalog, step.change
        return self.catalog


def catalog_of(objects: str | Iterable[Document]) -> Catalog:
    """A catalog of the objects, created in the order given, each at a revision of its own."""
    return Store(objects).catalog


def registrations_of(catalog: Catalog) -> Map[str, HostRegistration]:
    """The registrations of a catalog as they stand, none of them expired."""
    return Map({host: catalog.hosts[host] for host in catalog.hosts})
