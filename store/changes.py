"""Change sets: what a put, a delete, a prune or a rollback does to each key, decided before anything is written.

Values are compared as canonical JSON, so that another order of keys, or YAML once put with `etcdctl`, is
"unchanged". Pure; what was read comes as entries, with the revision at which all of them were read. How a change
set becomes one transaction is `store.commits`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from store.codec import Document, decode, encode
from store.errors import ConflictError, InputError, NotFoundError
from store.history import Action, HistoryRecord, Overwritten
from store.keys import MESH_KEY, object_key, parse_key
from store.objects.base import ObjectRef
from store.objects.kinds import Kind, kind_named
from store.snapshot import Entry

__all__ = [
    "OBJECT_BYTES_MAX",
    "Change",
    "ChangeSet",
    "object_ref",
    "plan_delete",
    "plan_put",
    "plan_rollback",
    "prunable",
]

OBJECT_BYTES_MAX = 512 * 1024
"""Largest value of one object: history keeps the old one beside the new, and both must fit one request."""
CONFLICT_TEXT_MAX = 2_000
"""Characters shown of each version when two collide."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one key."""

    key: str
    """Relative key."""
    action: Action
    """What is done."""
    before: Entry | None
    """What was read; None when it did not exist."""
    after: bytes | None
    """The value written; None for a deletion."""

    @property
    def ref(self) -> ObjectRef:
        """The object that the key holds."""
        place = parse_key(self.key)
        assert isinstance(place, ObjectRef), f"change sets hold objects only, found {self.key}"
        return place

    @property
    def namespace(self) -> str:
        """Namespace of the object; empty for the MeshConfig."""
        return self.ref.namespace


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Changes that belong together."""

    changes: tuple[Change, ...]
    """All of them, the unchanged included, in the order in which they were asked for."""
    read_revision: int
    """The revision at which every `before` was read."""

    @property
    def effective(self) -> tuple[Change, ...]:
        """The changes that write something."""
        return tuple(change for change in self.changes if change.action is not Action.UNCHANGED)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Namespaces written to, sorted; the empty one stands for the MeshConfig."""
        return tuple(sorted({change.namespace for change in self.effective}))

    def overwrites(self, namespace: str) -> tuple[Overwritten, ...]:
        """What history keeps of it in one namespace."""
        return tuple(
            Overwritten(change.key, change.action, change.before)
            for change in self.effective
            if change.namespace == namespace
        )


def object_ref(document: Document, default_namespace: str = "default") -> ObjectRef:
    """The identity that a document claims; a missing namespace is `default_namespace`.

    Raises:
        InputError: Its kind is unknown or it has no name.
    """
    metadata = document.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    kind = kind_named(str(document.get("kind", "")))
    name = fields.get("name")
    if kind is None or not isinstance(name, str) or not name:
        raise InputError(
            f"an object needs a known kind and a name; found kind {document.get('kind')!r} and name {name!r}",
            hint="`meshd validate` shows where",
        )
    namespace = (
        "" if kind is Kind.MESH_CONFIG else str(fields.get("namespace") or default_namespace)
    )
    return ObjectRef(kind, namespace, name)


def plan_put(
    documents: Iterable[Document],
    current: Mapping[str, Entry],
    *,
    revision: int,
    default_namespace: str = "default",
    prune: Collection[str] = (),
) -> ChangeSet:
    """The change set that makes the store hold `documents`.

    Args:
        documents: Valid objects; one that carries `metadata.resourceVersion` is written only over that revision.
        current: What is stored now under their relative keys, and under those of `prune`.
        revision: The revision at which `current` was read.
        default_namespace: Namespace of documents that name none.
        prune: Relative keys to delete unless a document is for them; see `prunable`.

    Raises:
        InputError: Two documents are for one object, or one is too large; all such are named.
        ConflictError: A `resourceVersion` is not the stored one; both versions are shown, for every such object.
    """
    changes: dict[str, Change] = {}
    problems: list[str] = []
    conflicts: list[str] = []
    for document in documents:
        ref = object_ref(document, default_namespace)
        key = object_key(ref)
        value = encode(_identified(document, ref))
        if key in changes:
            problems.append(f"{ref} is given twice")
        if len(value) > OBJECT_BYTES_MAX:
            problems.append(f"{ref} has {len(value)} bytes; at most {OBJECT_BYTES_MAX} are allowed")
        before = current.get(key)
        collision = _collision(ref, document, before)
        if collision:
            conflicts.append(collision)
        changes[key] = Change(key, _action(key, before, value), before, value)
    if problems:
        raise InputError("; ".join(problems))
    if conflicts:
        raise ConflictError(
            "\n".join(conflicts), hint="Read the newer version and repeat the change on it"
        )
    for key in sorted(prune):
        if key not in changes and key in current:
            changes[key] = Change(key, Action.DELETED, current[key], None)
    return ChangeSet(tuple(changes.values()), revision)


def plan_delete(
    keys: Sequence[str], current: Mapping[str, Entry], *, revision: int, ignore_absent: bool = False
) -> ChangeSet:
    """The change set that deletes `keys`.

    Raises:
        NotFoundError: Some do not exist (unless `ignore_absent`); all of them are named.
    """
    absent = [key for key in keys if key not in current]
    if absent and not ignore_absent:
        names = ", ".join(str(parse_key(key) or key) for key in absent)
        raise NotFoundError(f"not in the store: {names}", hint="`meshd get` lists what is there")
    deletions = (
        Change(key, Action.DELETED, current[key], None)
        for key in dict.fromkeys(keys)
        if key in current
    )
    return ChangeSet(tuple(deletions), revision)


def plan_rollback(
    records: Sequence[HistoryRecord],
    current: Mapping[str, Entry],
    *,
    revision: int,
    force: bool = False,
) -> ChangeSet:
    """The change set that brings back what one change overwrote: a new change, not a step back in time.

    Args:
        records: The records of that change, one for each namespace.
        current: What is stored now under the keys that it wrote.
        revision: The revision at which `current` was read.
        force: Overwrite also what was changed since.

    Raises:
        ConflictError: A key has changed since that change, and not `force`; every such key is shown.
    """
    overwrote = [(one, record.revision) for record in records for one in record.overwrote]
    conflicts = [
        _changed_since(one, current.get(one.key), written_at)
        for one, written_at in overwrote
        if not force and not _is_as_left(one, current.get(one.key), written_at)
    ]
    if conflicts:
        raise ConflictError(
            "changed since:\n" + "\n".join(conflicts),
            hint="Roll back the later changes first, or overwrite them with --force",
        )
    return ChangeSet(tuple(_restored(one, current.get(one.key)) for one, _ in overwrote), revision)


def prunable(
    current: Iterable[Entry],
    *,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Keys of the objects that `put --prune` may delete: those of one namespace, or with these labels, or both.

    The MeshConfig, hosts and what cannot be read are never among them.

    Raises:
        InputError: Neither is given: that would empty the mesh.
    """
    if namespace is None and not labels:
        raise InputError(
            "--prune needs a namespace or labels",
            hint="Say which objects with -n NAMESPACE or -l NAME=VALUE",
        )
    for entry in current:
        place = parse_key(entry.key)
        if not isinstance(place, ObjectRef) or entry.key == MESH_KEY:
            continue
        if namespace is not None and place.namespace != namespace:
            continue
        if not labels or labels.items() <= _labels(entry).items():
            yield entry.key


def _identified(document: Document, ref: ObjectRef) -> dict[str, object]:
    """The document with the identity that it is stored under."""
    metadata = document.get("metadata")
    whole = {**metadata} if isinstance(metadata, Mapping) else {}
    whole["name"] = ref.name
    if ref.namespace:
        whole["namespace"] = ref.namespace
    return {**document, "kind": ref.kind.value, "metadata": whole}


def _action(key: str, before: Entry | None, value: bytes) -> Action:
    if before is None:
        return Action.CREATED
    if before.value == value:
        return Action.UNCHANGED
    stored = decode(key, before.value).document
    if stored is None:
        return Action.CONFIGURED
    try:
        means_the_same = encode(stored) == value
    except InputError:
        means_the_same = False
    return Action.UNCHANGED if means_the_same else Action.CONFIGURED


def _collision(ref: ObjectRef, document: Document, before: Entry | None) -> str:
    """Both versions in words, when `document` was made from another revision than the stored one; else empty."""
    metadata = document.get("metadata")
    wanted = metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None
    if wanted in (None, ""):
        return ""
    if before is None:
        return f"{ref}: made from resourceVersion {wanted}, but it has been deleted"
    if str(wanted) == str(before.mod_revision):
        return ""
    return (
        f"{ref}: made from resourceVersion {wanted}, the stored one is {before.mod_revision}:\n"
        f"  yours:  {_shown(encode(document))}\n"
        f"  stored: {_shown(before.value)}"
    )


def _is_as_left(one: Overwritten, now: Entry | None, written_at: int) -> bool:
    """Whether nobody has touched the key since that change."""
    if one.action is Action.DELETED:
        return now is None
    return now is not None and now.mod_revision == written_at


def _changed_since(one: Overwritten, now: Entry | None, written_at: int) -> str:
    name = parse_key(one.key) or one.key
    if now is None:
        return f"  {name}: written at revision {written_at}, deleted since"
    return f"  {name}: at revision {now.mod_revision} now: {_shown(now.value)}"


def _restored(one: Overwritten, now: Entry | None) -> Change:
    """The change that gives one key its earlier value."""
    if one.before is None:
        action = Action.UNCHANGED if now is None else Action.DELETED
        return Change(one.key, action, now, None)
    if now is None:
        return Change(one.key, Action.CREATED, None, one.before.value)
    action = Action.UNCHANGED if now.value == one.before.value else Action.CONFIGURED
    return Change(one.key, action, now, one.before.value)


def _labels(entry: Entry) -> dict[str, str]:
    document = decode(entry.key, entry.value).document or {}
    metadata = document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return dict(labels) if isinstance(labels, Mapping) else {}


def _shown(value: bytes) -> str:
    text = value.decode(errors="replace")
    return text if len(text) <= CONFLICT_TEXT_MAX else f"{text[:CONFLICT_TEXT_MAX]} ..."
