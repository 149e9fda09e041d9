"""Objects as the store holds them now, read for people: valid or not, with their revisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshd.cli.names import Selection
from store.codec import decode
from store.diagnostics import Diagnostic, Level, as_json
from store.errors import NotFoundError
from store.etcd.client import EtcdClient
from store.keys import MESH_KEY, absolute_key, object_key, parse_key
from store.objects.kinds import KINDS, Kind, ObjectRef
from store.snapshot import Entry

__all__ = ["Stored", "as_stored", "has_labels", "read_kinds", "read_refs", "read_selection"]

_TEXT_SHOWN_MAX = 10_000
"""Characters shown of a value that is no object."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of the store."""

    ref: ObjectRef
    """Its identity, from the key."""
    entry: Entry
    """Value and revisions; the key is relative to the prefix."""
    document: Mapping[str, Any] | None
    """The object as published; None when the value is not even a mapping."""
    diagnostics: tuple[Diagnostic, ...]
    """What is wrong with it, or doubtful."""

    @property
    def state(self) -> str:
        """`valid`, or `invalid` and the first code."""
        errors = [problem for problem in self.diagnostics if problem.level is Level.ERROR]
        return f"invalid {errors[0].code}" if errors else "valid"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the object; empty where it has none or cannot be read."""
        metadata = (self.document or {}).get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
        return dict(labels) if isinstance(labels, Mapping) else {}

    def shown(self) -> dict[str, Any]:
        """The object with its revisions in `metadata`; what is wrong with it under `status`."""
        shown: dict[str, Any] = dict(self.document or {})
        shown.setdefault("apiVersion", KINDS[self.ref.kind].api_versions[0])
        shown["kind"] = self.ref.kind.value
        metadata = shown.get("metadata")
        fields: dict[str, Any] = {"name": self.ref.name, "namespace": self.ref.namespace}
        if not self.ref.namespace:
            del fields["namespace"]
        fields |= metadata if isinstance(metadata, Mapping) else {}
        fields["resourceVersion"] = str(self.entry.mod_revision)
        fields["generation"] = self.entry.version
        first = ("apiVersion", "kind")
        ordered = {name: shown[name] for name in first} | {"metadata": fields}
        ordered |= {name: value for name, value in shown.items() if name not in ordered}
        if self.state != "valid":
            ordered["status"] = {"invalid": [as_json(problem) for problem in self.diagnostics]}
        if self.document is None:
            text = self.entry.value.decode(errors="backslashreplace")
            ordered["status"]["value"] = text[:_TEXT_SHOWN_MAX]
        return ordered


def read_selection(
    client: EtcdClient, selection: Selection, namespace: str | None, labels: Mapping[str, str]
) -> list[Stored]:
    """What was named: single objects, or all of some kinds in a namespace (None: in all).

    Raises:
        NotFoundError: Some single object is not in the store.
    """
    if selection.refs:
        found = read_refs(client, selection.refs)
        absent = [str(ref) for ref in selection.refs if ref not in found]
        if absent:
            raise NotFoundError(
                f"not in the store: {', '.join(absent)}",
                hint="`meshd get all -A` lists what there is",
            )
        return [one for one in found.values() if has_labels(one, labels)]
    return [
        one for one in read_kinds(client, selection.kinds, namespace) if has_labels(one, labels)
    ]


def read_refs(client: EtcdClient, refs: Sequence[ObjectRef]) -> dict[ObjectRef, Stored]:
    """Single objects, all at one revision; absent ones are left out."""
    prefix = client.settings.prefix
    keys = {absolute_key(prefix, object_key(ref)): ref for ref in refs}
    entries = client.get_many(keys).entries
    stored = {
        ref: as_stored(replace(entries[key], key=object_key(ref)))
        for key, ref in keys.items()
        if key in entries
    }
    return {ref: one for ref, one in stored.items() if one is not None}


def read_kinds(
    client: EtcdClient, kinds: Iterable[Kind], namespace: str | None
) -> Iterator[Stored]:
    """All objects of some kinds in a namespace, or in all (None), by kind, namespace and name.

    The MeshConfig lies in no namespace: it is given when it alone is asked for, or all namespaces are.
    """
    wanted = list(kinds)
    entries = list(_entries(client, wanted, namespace))
    found = [one for one in map(as_stored, entries) if one is not None and one.ref.kind in wanted]
    yield from sorted(found, key=lambda one: (wanted.index(one.ref.kind), one.ref[1:]))


def as_stored(entry: Entry) -> Stored | None:
    """An entry as an object; None when its key is none of an object."""
    ref = parse_key(entry.key)
    if not isinstance(ref, ObjectRef):
        return None
    decoded = decode(entry.key, entry.value)
    return Stored(ref, entry, decoded.document, decoded.diagnostics)


def has_labels(one: Stored, labels: Mapping[str, str]) -> bool:
    """Whether the object has all of `labels`."""
    return labels.items() <= one.labels.items()


def _entries(client: EtcdClient, kinds: Sequence[Kind], namespace: str | None) -> Iterator[Entry]:
    """Entries that may be of these kinds; no more is read than an account of one namespace may read."""
    prefix = client.settings.prefix
    if Kind.MESH_CONFIG in kinds and (namespace is None or len(kinds) == 1):
        mesh = client.get(absolute_key(prefix, MESH_KEY))
        if mesh is not None:
            yield replace(mesh, key=MESH_KEY)
    plurals = [KINDS[kind].plural for kind in kinds if KINDS[kind].namespaced]
    if namespace is None and plurals:
        yield from _below(client, "ns")
    elif len(plurals) == 1:
        yield from _below(client, f"ns/{namespace}/{plurals[0]}")
    elif plurals:
        yield from _below(client, f"ns/{namespace}")


def _below(client: EtcdClient, folder: str) -> Iterator[Entry]:
    listing = client.list_prefix(absolute_key(client.settings.prefix, folder))
    for entry in listing.entries:
        yield replace(entry, key=f"{folder}/{entry.key}")
