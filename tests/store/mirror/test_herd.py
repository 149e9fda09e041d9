"""Hundreds of Mirrors lose their etcd at once: each goes on from where it was, and they do not come back in step."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from store.mirror import Mirror
from store.mirror import events as on
from tests.harness.fake_store import FakeLink, FakeStore

pytestmark = pytest.mark.slow

MIRRORS = 500
AWAY_S = 15.0
"""By then every pause is as long as pauses get."""
STEP_S = 0.1
PEAK = 100
"""Most that may come back within one second."""


def herd() -> list[FakeLink]:
    """So many Mirrors that watch one store, in which each of their hosts is registered."""
    store = FakeStore()
    store.write({f"hosts/h{number}": b"{}" for number in range(MIRRORS)})
    store.write({"ns/default/gateways/a": b"1"})
    links = [FakeLink(Mirror(random.Random(seed)), store) for seed in range(MIRRORS)]
    for link in links:
        link.start()
        link.heal(1.0)
    return links


def lose(links: list[FakeLink]) -> None:
    """Etcd is away for a time: no stream that is opened lives."""
    for link in links:
        for _ in range(int(AWAY_S / STEP_S)):
            link.cut()
            link.let_pass(STEP_S)


def test_after_a_restart_of_etcd_nobody_lists_and_they_come_back_spread() -> None:
    """cilium#22037, calico#1200: hundreds of agents read everything at once after a blip of their store."""
    links = herd()
    store = links[0].store
    lose(links)
    store.write({"ns/default/gateways/a": b"2"})
    opened: Counter[int] = Counter()
    compared: Counter[int] = Counter()
    asked: Counter[type[object]] = Counter()
    for link in links:
        link.cut()
        for step in range(int(12.0 / STEP_S)):
            link.let_pass(STEP_S)
            opened[int(step * STEP_S)] += link.stream is not None and not link.created
            asked.update(type(read) for read in link.reads)
            compared[int(step * STEP_S)] += any(
                isinstance(read, on.ListKeysOnly) for read in link.reads
            )
            link.answer_read()
            link.deliver(10)
            link.deliver(10)
    assert sum(opened.values()) == MIRRORS
    assert max(opened.values()) <= PEAK, opened
    assert asked[on.ReadKey] == MIRRORS, "each asks for the one key that was written last"
    assert asked[on.ListKeysOnly] <= MIRRORS, "and once compares the keys, without their values"
    assert max(compared.values()) <= PEAK, compared
    for link in links:
        assert link.published[-1].revision == store.revision
        assert link.mirror.status.counters.lists == 1, "at the very beginning"


def test_after_a_compaction_each_reads_everything_once() -> None:
    links = herd()
    store = links[0].store
    lose(links)
    store.write({"ns/default/gateways/a": b"2"})
    store.write({"hosts/x": b"1"})
    store.compact(store.revision)
    read: Counter[int] = Counter()
    for link in links:
        link.cut()
        for step in range(int(12.0 / STEP_S)):
            link.let_pass(STEP_S)
            read[int(step * STEP_S)] += any(isinstance(asked, on.List) for asked in link.reads)
            link.answer_read()
            link.deliver(10)
            link.deliver(10)
        counters = link.mirror.status.counters
        assert link.published[-1].revision == store.revision
        assert (counters.lists, counters.compactions) == (2, 1)
    assert sum(read.values()) == MIRRORS
    assert max(read.values()) <= PEAK, read
