"""Whether a snapshot holds what was written: by revision, by etcd, and by a key as a witness."""

from __future__ import annotations

import pytest

from sidecar.agent.wanted import Sight, Wanted
from store.snapshot import Entry, Epoch, Snapshot

KEY = "ns/default/virtualservices/reviews"
HELD = Snapshot.of(Epoch(1, 7), 100, [Entry(KEY, b"{}", 1, 50, 3)])


@pytest.mark.parametrize(
    ("wanted", "sight"),
    [
        (Wanted(101), Sight.UNSEEN),
        (Wanted(100), Sight.SEEN),
        (Wanted(99), Sight.SEEN),
        (Wanted(99, 7), Sight.SEEN),
        (Wanted(99, 8), Sight.UNSEEN),
        (Wanted(50, 7, KEY), Sight.SEEN),
        (Wanted(100, 7, KEY), Sight.SEEN),
        (Wanted(51, 7, KEY), Sight.UNSEEN),
        (Wanted(49, 7, KEY), Sight.UNSURE),
        (Wanted(49, 8, KEY), Sight.UNSEEN),
        (Wanted(50, 7, "ns/a/gateways/b"), Sight.UNSURE),
        (Wanted(50, 7, "", "ns/a/gateways/b"), Sight.SEEN),
        (Wanted(60, 7, "", KEY), Sight.UNSEEN),
        (Wanted(49, 7, "", KEY), Sight.UNSURE),
        (Wanted(50, 7, "", KEY), Sight.UNSEEN),
    ],
)
def test_what_is_seen_is_certain_and_what_is_not_is_not_claimed(
    wanted: Wanted, sight: Sight
) -> None:
    assert wanted.sight(HELD) is sight
