"""The mesh, read from the store once: the catalog that every sidecar at this revision folds, too; or a part of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from store.catalog import Catalog, Compacted, Recall, RecallSource
from store.errors import StoreUnavailable
from store.etcd.client import EtcdClient
from store.etcd.failures import RevisionCompacted
from store.etcd.history import recall as recall_from_history
from store.keys import FORMAT_KEY, MESH_KEY, absolute_key, parse_key
from store.objects.kinds import ObjectRef
from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["load_catalog", "load_namespaces"]


def load_catalog(client: EtcdClient) -> Catalog:
    """The objects and registrations in force, earlier generations of bad values looked up.

    Raises:
        StoreUnavailable: The store cannot be read, or is in a format newer than this program.
    """
    listing = client.list_prefix(client.settings.prefix)
    epoch = Epoch(1, listing.cluster_id)
    return _folded(client, Snapshot.of(epoch, listing.revision, listing.entries))


def load_namespaces(client: EtcdClient, namespaces: Iterable[str]) -> Catalog:
    """The objects of these namespaces, and the MeshConfig: what someone may read who publishes in them.

    Raises:
        StoreDenied: One of them may not be read either.
        StoreUnavailable: As for `load_catalog`.
    """
    prefix = client.settings.prefix
    found = client.get_many([absolute_key(prefix, MESH_KEY), absolute_key(prefix, FORMAT_KEY)])
    entries = [
        replace(entry, key=key.removeprefix(f"{prefix}/")) for key, entry in found.entries.items()
    ]
    revision, cluster_id = found.revision, 0
    for namespace in namespaces:
        folder = f"ns/{namespace}"
        listing = client.list_prefix(absolute_key(prefix, folder))
        entries += [replace(entry, key=f"{folder}/{entry.key}") for entry in listing.entries]
        revision, cluster_id = listing.revision, listing.cluster_id
    return _folded(client, Snapshot.of(Epoch(1, cluster_id), revision, entries))


def _folded(client: EtcdClient, snapshot: Snapshot) -> Catalog:
    """The catalog of what was read; earlier generations of bad values are looked up."""
    step = Catalog.empty().apply(snapshot)
    if step.catalog.refusal:
        raise StoreUnavailable(step.catalog.refusal, hint="Use a newer meshd")
    open_questions = list(step.recalls)
    while open_questions:
        question = open_questions.pop()
        step = step.catalog.recalled(question, _look_up(client, question))
        open_questions += step.recalls
    return step.catalog


def _look_up(client: EtcdClient, question: Recall) -> Entry | Compacted | None:
    if question.source is RecallSource.HISTORY:
        place = parse_key(question.key)
        namespace = place.namespace if isinstance(place, ObjectRef) else ""
        return recall_from_history(client, question.key, namespace, question.revision)
    try:
        found = client.get(absolute_key(client.settings.prefix, question.key), question.revision)
    except RevisionCompacted:
        return Compacted()
    return None if found is None else replace(found, key=question.key)
