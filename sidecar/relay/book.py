"""Who attests what: the words of other hosts about revisions and their hashes, and what they add up to.

A word is (host, cluster id, revision, hash): at that revision the host had content of that hash, from etcd itself.
Hosts that follow peers attest nothing, they would only echo. A host whose etcd is out of reach attests what it had
before. Labels differ between hosts that hold the same content, because a reading is labelled with the revision of
the read; so the hash decides, and the revision that k hosts attest is the k-th greatest label: a lone liar can
neither raise nor lower it.

By induction: with at most k - 1 liars, an attested hash has the word of one honest host, which had the content from
etcd.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeVar

from sidecar.relay.wire import HASH_BYTES, Attested
from sidecar.standing.model import Standing, Sync

__all__ = ["Book", "Target"]

WORDS_MAX = 8
"""Remembered of each host from its standings."""
STATED_MAX = 16
"""Hosts whose statements are remembered."""
ABSENT_MAX = 1_000
"""Hosts remembered that are no members now; the oldest are forgotten first."""

_Content = tuple[int, bytes]


class Target(NamedTuple):
    """Content that is attested."""

    cluster_id: int
    revision: int
    hash: bytes


class Book:
    """The words of all other hosts."""

    def __init__(self) -> None:
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._present: Collection[str] = ()
        self._strangers: set[str] = set()
        self._said: dict[str, OrderedDict[_Content, int]] = {}
        self._stated: OrderedDict[str, dict[_Content, int]] = OrderedDict()
        self._words: dict[_Content, dict[str, int]] = {}
        self._tops: dict[_Content, int] = {}
        self._holders: dict[_Content, dict[str, None]] = {}
        self._members: dict[int, dict[str, None]] = {}
        self._at_store: dict[int, dict[str, None]] = {}

    def standing(self, node: str) -> Standing | None:
        """What a host said last."""
        return self._standings.get(node)

    def seen(self, present: Collection[str]) -> None:
        """These are the members now."""
        self._present = present
        absent = [node for node in self._standings if node not in present]
        for node in absent[:-ABSENT_MAX]:
            self.forget(node)

    def heard(self, node: str, standing: Standing) -> None:
        """Take in a standing."""
        before = self._standings.pop(node, None)
        if before is not None:
            self._hold(node, before, holds=False)
        self._standings[node] = standing
        self._hold(node, standing, holds=True)
        content = _content(standing)
        if content is None or standing.sync is Sync.PEERS or node in self._strangers:
            return
        said = self._said.setdefault(node, OrderedDict())
        said[content] = max(standing.received, said.pop(content, 0))
        self._add(node, content, standing.received)
        while len(said) > WORDS_MAX:
            gone, _ = said.popitem(last=False)
            self._remove(node, gone)

    def stated(self, node: str, cluster_id: int, pairs: Iterable[Attested]) -> None:
        """Take in a statement that is known to be genuine."""
        if node in self._strangers:
            return
        rows = {(cluster_id, pair.hash): pair.revision for pair in pairs}
        before = self._stated.pop(node, {})
        self._stated[node] = rows
        for content, revision in rows.items():
            self._add(node, content, revision)
        for content in before.keys() - rows.keys():
            self._remove(node, content)
        while len(self._stated) > STATED_MAX:
            oldest, old = self._stated.popitem(last=False)
            for content in old:
                self._remove(oldest, content)

    def forget(self, node: str) -> None:
        """Forget a host."""
        standing = self._standings.pop(node, None)
        if standing is not None:
            self._hold(node, standing, holds=False)
        self.distrust([node])
        self._strangers.discard(node)

    def distrust(self, nodes: Iterable[str]) -> None:
        """These attest content of an epoch that is not ours: what they say counts no more."""
        for node in nodes:
            for content in {*self._said.pop(node, ()), *self._stated.pop(node, ())}:
                self._remove(node, content)
            self._strangers.add(node)

    def begin_anew(self) -> None:
        """A new epoch is followed: only what hosts say now counts, and all of them may say it."""
        self._strangers.clear()
        now = list(self._standings.items())
        for known in (self._said, self._stated, self._words, self._tops):
            known.clear()
        for node, standing in now:
            self.heard(node, standing)

    def attesters(self, cluster_id: int, content_hash: bytes) -> tuple[str, ...]:
        """Who attests this content, sorted."""
        return tuple(sorted(self._words.get((cluster_id, content_hash), ())))

    def attested(self, cluster_id: int, count: int, *, above: int) -> tuple[Target, ...]:
        """Contents that so many hosts attest at revisions above this one; the newest first."""
        found = []
        for (cluster, content_hash), words in self._words.items():
            is_newer = self._tops[cluster, content_hash] > above
            if cluster == cluster_id and is_newer and len(words) >= count:
                revision = heapq.nlargest(max(1, count), words.values())[-1]
                if revision > above:
                    found.append(Target(cluster, revision, content_hash))
        return tuple(sorted(found, key=lambda one: (-one.revision, one.hash)))

    def current(self, cluster_id: int, count: int) -> tuple[Target, ...]:
        """Contents at which so many present hosts with etcd in reach stand right now; the newest first."""
        labels: dict[bytes, list[int]] = {}
        for node in self.at_store(cluster_id):
            standing = self._standings[node]
            content = _content(standing)
            if content is not None:
                labels.setdefault(content[1], []).append(standing.received)
        found = [
            Target(cluster_id, heapq.nlargest(max(1, count), revisions)[-1], content_hash)
            for content_hash, revisions in labels.items()
            if len(revisions) >= count
        ]
        return tuple(sorted(found, key=lambda one: (-one.revision, one.hash)))

    def holders(self, target: Target) -> list[str]:
        """Present members that say they have exactly this content."""
        return [n for n in self._holders.get((target.cluster_id, target.hash), ()) if self._is(n)]

    def beyond(self, target: Target) -> list[str]:
        """Present members that say they have something newer: they may remember this content."""
        return [
            node
            for node in self._members.get(target.cluster_id, ())
            if self._is(node) and self._standings[node].received > target.revision
        ]

    def at_store(self, cluster_id: int) -> list[str]:
        """Present members that have this etcd in reach."""
        return [node for node in self._at_store.get(cluster_id, ()) if self._is(node)]

    def told(self, cluster_id: int, own_hash: bytes, count: int) -> int:
        """Newest revision that hosts with this etcd in reach say they have, with other content than ours; 0: none.

        As many must say so as must attest, or all of them where they are fewer: a lone liar among others is not heard.
        """
        present = [self._standings[node] for node in self.at_store(cluster_id)]
        others = [one.received for one in present if one.received_hash != own_hash.hex()]
        wanted = max(1, min(count, len(present)))
        return heapq.nlargest(wanted, others)[-1] if len(others) >= wanted else 0

    def clusters(self) -> dict[int, tuple[int, int]]:
        """Clusters that present members stand in: how many have it in reach, and how many there are."""
        return {
            cluster: (len(self.at_store(cluster)), sum(map(self._is, nodes)))
            for cluster, nodes in self._members.items()
        }

    def claimants(self, cluster_id: int, above: int) -> list[str]:
        """Present members with etcd in reach that say they have something newer."""
        return [n for n in self.at_store(cluster_id) if self._standings[n].received > above]

    def _is(self, node: str) -> bool:
        return node in self._present and node not in self._strangers

    def _hold(self, node: str, standing: Standing, *, holds: bool) -> None:
        """Keep, or let go of, what the indexes say of a host's standing."""
        if standing.epoch is not None:
            cluster = standing.epoch.cluster_id
            _mark(self._members, cluster, node, holds)
            if standing.sync is Sync.STORE:
                _mark(self._at_store, cluster, node, holds)
        content = _content(standing)
        if content is not None:
            _mark(self._holders, content, node, holds)

    def _add(self, node: str, content: _Content, revision: int) -> None:
        words = self._words.setdefault(content, {})
        words[node] = max(revision, words.get(node, 0))
        self._tops[content] = max(revision, self._tops.get(content, 0))

    def _remove(self, node: str, content: _Content) -> None:
        """Forget one word, unless the host has said the same in the other way."""
        if content in self._said.get(node, ()) or content in self._stated.get(node, ()):
            return
        words = self._words.get(content)
        if words is not None:
            words.pop(node, None)
            if not words:
                del self._words[content], self._tops[content]


_Key = TypeVar("_Key", int, _Content)


def _mark(index: dict[_Key, dict[str, None]], key: _Key, node: str, is_in: bool) -> None:
    if is_in:
        index.setdefault(key, {})[node] = None
        return
    nodes = index[key]
    del nodes[node]
    if not nodes:
        del index[key]


def _content(standing: Standing) -> _Content | None:
    """What the host has, when it says so in a form that can be compared."""
    if standing.epoch is None or len(standing.received_hash) != 2 * HASH_BYTES:
        return None
    try:
        return standing.epoch.cluster_id, bytes.fromhex(standing.received_hash)
    except ValueError:
        return None
