"""Looks up an earlier value of a key, where the catalog asks for one: in etcd as it was, else in history."""

from __future__ import annotations

import trio

from sidecar.agent.log import log
from sidecar.agent.pauses import pause_s
from store.catalog.generations import Compacted, Recall, RecallSource
from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.failures import RevisionCompacted
from store.etcd.history import recall as recall_from_history
from store.keys import parse_key
from store.objects.kinds import ObjectRef
from store.snapshot import Entry

__all__ = ["look_up"]

RETRY_S = 5.0
"""Longest pause between tries: the store may be away, and the question stays open until it is back."""
LOOKUPS_AT_ONCE = trio.CapacityLimiter(4)
"""Threads that look up at once: thousands of bad values may appear in one revision."""


async def look_up(client: EtcdClient, recall: Recall) -> Entry | Compacted | None:
    """The answer to `recall`; tries until the store gives one."""
    failures = 0
    while True:
        try:
            return await trio.to_thread.run_sync(
                _ask, client, recall, abandon_on_cancel=True, limiter=LOOKUPS_AT_ONCE
            )
        except MeshError as problem:
            failures += 1
            if failures == 1:
                log.warning("earlier_value_not_found_yet", key=recall.key, reason=str(problem))
            await trio.sleep(pause_s(failures, RETRY_S))


def _ask(client: EtcdClient, recall: Recall) -> Entry | Compacted | None:
    if recall.source is RecallSource.HISTORY:
        named = parse_key(recall.key)
        namespace = named.namespace if isinstance(named, ObjectRef) else ""
        return recall_from_history(client, recall.key, namespace, recall.revision)
    try:
        found = client.get(f"{client.settings.prefix}/{recall.key}", recall.revision)
    except RevisionCompacted:
        return Compacted()
    if found is None:
        return None
    return Entry(
        recall.key,
        found.value,
        found.create_revision,
        found.mod_revision,
        found.version,
        found.lease,
    )
