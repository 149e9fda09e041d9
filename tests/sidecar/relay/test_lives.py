"""Epochs as seen through others: ours while anybody holds it, another one by the rules, and never back again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.relay.book import Book, Target
from sidecar.relay.history import History
from sidecar.relay.lives import Lives, Verdict
from sidecar.relay.parcel import short_hash
from sidecar.standing.model import Sync
from store.mirror.events import Report
from store.snapshot import Entry, Epoch, Snapshot
from tests.sidecar.relay.words import CLUSTER, EPOCH, entry, line, standing, voice_of

OTHER = 0xC2
PATIENCE_S = 30.0
OWN = line(100, 1, objects=20)[0]


def of_cluster(snapshot: Snapshot, cluster_id: int, revision: int | None = None) -> Snapshot:
    """The same content in another etcd."""
    label = snapshot.revision if revision is None else revision
    return Snapshot.of(Epoch(1, cluster_id), label, snapshot.entries())


class Alone:
    """A host that etcd is out of reach of, and what it hears."""

    def __init__(self, own: Snapshot | None = OWN) -> None:
        self.voice = voice_of()
        self.book = Book()
        self.history = History(8)
        if own is not None:
            self.history.remember(own, is_first_hand=True)
        self.lives = Lives(self.voice, self.book, self.history)
        self.now_s = 100.0
        self.present: set[str] = set()
        self.lives.look(self.now_s)

    def hear(self, *nodes: str, snapshot: Snapshot, sync: Sync = Sync.STORE) -> None:
        self.present |= set(nodes)
        self.book.seen(self.present)
        for node in nodes:
            self.book.heard(node, standing(snapshot, sync))
        self.lives.look(self.now_s)

    def after(self, seconds: float) -> Target | None:
        self.now_s += seconds
        found = self.lives.other(self.now_s)
        self.lives.look(self.now_s)
        return found

    def reports(self) -> list[str]:
        return [e.name for e in self.voice.effects if isinstance(e, Report)]


def test_another_epoch_is_looked_at_when_nobody_of_ours_was_at_etcd_for_some_time() -> None:
    one = Alone()
    other = of_cluster(OWN, OTHER)
    one.hear("a", "b", snapshot=other)
    assert one.after(29.0) is None
    assert one.lives.deadline() == 100.0 + PATIENCE_S
    assert one.after(1.0) == Target(OTHER, 100, short_hash(other))


def test_while_one_of_ours_is_at_etcd_no_other_epoch_is_looked_at() -> None:
    one = Alone()
    one.hear("kin", snapshot=OWN)
    one.hear("a", "b", "c", snapshot=of_cluster(OWN, OTHER))
    assert one.after(1000.0) is None
    assert one.lives.deadline() is None
    one.hear("kin", snapshot=OWN, sync=Sync.STALE)
    assert one.after(29.0) is None, "it was there until a moment ago"
    assert one.after(1.0) is not None


def test_too_few_words_are_no_other_epoch() -> None:
    one = Alone()
    one.hear("a", snapshot=of_cluster(OWN, OTHER))
    one.hear("b", "c", snapshot=of_cluster(OWN, OTHER), sync=Sync.STALE)
    one.hear("d", snapshot=of_cluster(line(100, 1, objects=3)[0], OTHER))
    assert one.after(1000.0) is None


def test_a_revision_that_went_back_is_another_epoch_of_the_same_cluster() -> None:
    one = Alone()
    earlier = line(90, 1, objects=20)[0]
    one.hear("a", "b", snapshot=earlier)
    assert one.after(29.0) is None, "they may only be late"
    assert one.after(1.0) == Target(CLUSTER, 90, short_hash(earlier))


def test_the_epoch_that_most_have_in_reach_is_looked_at() -> None:
    one = Alone()
    one.hear("a", "b", snapshot=of_cluster(OWN, OTHER))
    one.hear("c", "d", "e", snapshot=of_cluster(OWN, 0xC3))
    found = one.after(60.0)
    assert found is not None
    assert found.cluster_id == 0xC3


def test_who_has_nothing_begins_with_the_epoch_that_most_have_in_reach() -> None:
    one = Alone(own=None)
    assert one.lives.first() is None
    one.hear("a", "b", snapshot=of_cluster(OWN, OTHER), sync=Sync.STALE)
    assert one.lives.first() == Target(OTHER, 100, short_hash(OWN))
    one.hear("c", "d", snapshot=OWN)
    assert one.lives.first() == Target(CLUSTER, 100, short_hash(OWN))
    assert one.lives.deadline() is None


def fewer(gone: int, cluster_id: int = OTHER, revision: int = 100) -> Snapshot:
    keys = [e.key for e in OWN.entries()][:gone]
    return of_cluster(OWN.apply([], keys, 100), cluster_id, revision)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (of_cluster(OWN.apply([entry("x", 101)], [], 101), CLUSTER), Verdict.ADOPT),
        (fewer(15, CLUSTER, 120), Verdict.ADOPT),
        (fewer(4), Verdict.FOLLOW),
        (fewer(5), Verdict.HOLD),
        (fewer(4, CLUSTER, 90), Verdict.FOLLOW),
        (fewer(5, CLUSTER, 90), Verdict.HOLD),
    ],
    ids=["newer", "much deleted", "a fifth", "more", "back, a fifth", "back, more"],
)
def test_content_is_weighed_by_the_rules_of_the_store(found: Snapshot, verdict: Verdict) -> None:
    one = Alone()
    assert one.lives.weigh(OWN, found, one.now_s) is verdict
    assert one.reports() == (["epoch_held"] if verdict is Verdict.HOLD else [])
    assert Alone(own=None).lives.weigh(None, found, 1.0) is Verdict.ADOPT


def test_what_is_held_is_looked_at_again_seldom_and_followed_when_a_person_accepts_it() -> None:
    one = Alone()
    held = fewer(10)
    one.hear("a", "b", snapshot=held)
    assert one.after(30.0) is not None
    assert one.lives.weigh(OWN, held, one.now_s) is Verdict.HOLD
    assert one.lives.held is not None
    assert one.lives.held.reason == "it lacks 10 of 20 virtualservices"
    assert one.after(200.0) is None
    due_s = one.lives.deadline()
    assert due_s == one.lives.held.again_s
    one.now_s = due_s
    assert one.lives.other(due_s) is not None
    assert one.lives.weigh(OWN, held, one.now_s) is Verdict.HOLD
    assert one.reports() == ["epoch_held"], "said once"

    assert one.lives.accept()
    assert one.lives.other(one.now_s) is not None
    assert one.lives.weigh(OWN, held, one.now_s) is Verdict.FOLLOW
    assert not one.lives.accept(), "nothing is held any more"


def test_a_cluster_that_was_left_is_not_returned_to_by_itself() -> None:
    one = Alone()
    new = of_cluster(OWN, OTHER)
    one.lives.leave(OWN, new)
    one.history.remember(new, is_first_hand=False)
    one.hear("a", "b", snapshot=OWN)
    assert one.after(1000.0) is None
    one.lives.leave(new, OWN)
    one.history.remember(OWN, is_first_hand=True)
    assert one.lives.weigh(OWN, of_cluster(OWN, CLUSTER, 101), 1.0) is Verdict.ADOPT, (
        "when etcd itself leads back, it is no longer one that was left"
    )


def test_content_that_descends_from_a_life_that_was_left_is_refused() -> None:
    """A backup of revision 90 was restored under the same cluster id; some still have the old etcd."""
    backup = line(90, 1, objects=20)[0]
    old = backup.apply([entry(f"lost{number}", 91 + number) for number in range(9)], [], 99)
    one = Alone(old)
    new = Snapshot.of(Epoch(2, CLUSTER), 90, backup.entries())
    one.lives.leave(old, new)
    one.history.remember(new, is_first_hand=False)

    later_old = old.apply([entry("more", 100)], ["ns/default/virtualservices/lost3"], 101)
    assert one.lives.weigh(new, later_old, 1.0) is Verdict.REFUSE
    assert one.lives.held is not None
    later_new = new.apply([entry("lost1", 92, b"again")], [], 102)
    assert one.lives.weigh(new, later_new, 1.0) is Verdict.ADOPT

    assert one.lives.accept()
    assert one.lives.weigh(new, later_old, 1.0) in (Verdict.ADOPT, Verdict.FOLLOW)


def test_a_key_whose_value_is_of_an_earlier_revision_shows_a_new_life() -> None:
    """A backup was restored and has been written past our revision."""
    own = Snapshot.of(EPOCH, 100, [*OWN.entries(), entry("late", 95)])
    rows = [replace(e, mod_revision=5) for e in OWN.entries()]
    found = Snapshot.of(EPOCH, 110, [*rows, entry("late", 80), Entry("mesh", b"{}", 1, 105, 1)])
    assert Alone(own).lives.weigh(own, found, 1.0) is Verdict.FOLLOW
