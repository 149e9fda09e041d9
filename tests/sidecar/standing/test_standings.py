"""What members are known to have: who lags and why, whom to ask, when a wait is over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.records import Record, Topic
from sidecar.standing import events as on
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing, Sync, mark_of
from sidecar.standing.progress import Progress
from sidecar.standing.standings import ROWS_MAX, Standings
from sidecar.standing.waits import ASKED_MAX
from store.snapshot import Epoch

HERE = Epoch(1, 0xABC)


def having(revision: int, in_force: int | None = None, **fields: object) -> Standing:
    base = Standing(
        HERE,
        revision,
        f"{revision:032x}",
        revision if in_force is None else in_force,
        Sync.STORE,
        version="1.0",
    )
    return replace(base, **fields)  # type: ignore[arg-type] # fields of a dataclass


@dataclass
class Host:
    """One core, fed by a test."""

    core: Standings = field(default_factory=lambda: Standings("me"))
    now_s: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)

    def handle(self, event: on.Event) -> list[on.Effect]:
        return self.core.handle(event, self.now_s)

    def own(self, standing: Standing) -> list[on.Effect]:
        return self.handle(on.OwnChanged(standing))

    def member(self, node: str, status: Status = Status.ALIVE, epoch: int = 1) -> list[on.Effect]:
        identity = Identity(node, "10.0.0.1:7946", epoch)
        return self.handle(on.MemberChanged(identity, None, status, 0))

    def hear(
        self, node: str, standing: Standing | bytes, *, epoch: int = 1, age_ms: int = 0
    ) -> list[on.Effect]:
        body = standing if isinstance(standing, bytes) else encode(standing)
        self.versions[node] = self.versions.get(node, 0) + 1
        version = self.versions[node]
        record = Record(Topic.STANDING, node, 0, epoch, version, body, b"", b"", age_ms)
        return self.handle(on.RecordHeard(record))

    def wait(self, revision: int, cluster_id: int | None = HERE.cluster_id) -> list[on.Effect]:
        return self.handle(on.WaitBegan(1, revision, cluster_id))

    def pending(self) -> dict[str, Progress]:
        return dict(self.core.wait_view(1).pending)


@pytest.fixture
def host() -> Host:
    made = Host()
    made.own(having(5))
    for node in ("a", "b"):
        made.member(node)
        made.hear(node, having(5))
    return made


MET = [on.WaitMet(1)]


def test_own_standing_is_said_when_it_changes_and_only_then() -> None:
    host = Host()
    assert host.own(having(5)) == [on.Say(encode(having(5)))]
    assert host.own(having(5)) == []
    assert host.own(having(6, 5)) == [on.Say(encode(having(6, 5)))]


def test_a_wait_is_met_at_once_where_all_have_it(host: Host) -> None:
    assert host.wait(5) == MET
    assert host.core.wait_view(1).met == ("a", "b", "me")


def test_a_wait_is_met_by_the_last_member(host: Host) -> None:
    assert host.wait(6) == []
    assert host.own(having(6)) == [on.Say(encode(having(6)))]
    assert host.hear("a", having(6)) == []
    assert host.hear("b", having(6)) == MET


@pytest.mark.parametrize(
    ("standing", "found"),
    [
        (having(5), Progress.BEHIND),
        (having(6, 5), Progress.APPLYING),
        (having(5, sync=Sync.HELD), Progress.HELD),
        (having(9, sync=Sync.HELD), Progress.HELD),
        (having(6, epoch=Epoch(1, 0xDEF)), Progress.OTHER_STORE),
        (having(6, epoch=Epoch(1, 0xDEF), sync=Sync.HELD), Progress.HELD),
        (having(9), Progress.AHEAD),
        (having(6, received_hash="f" * 32), Progress.DIFFERS),
        (Standing(None, 0, "", 0, Sync.STALE), Progress.SILENT),
        (b"", Progress.SILENT),
    ],
    ids=str,
)
def test_one_that_lags_is_named_with_where_it_is(
    host: Host, standing: Standing | bytes, found: Progress
) -> None:
    host.own(having(6))
    host.hear("a", having(6))
    host.hear("b", standing)
    assert on.WaitMet(1) not in host.wait(6)
    assert host.pending() == {"b": found}


def test_lives_are_counted_by_each_host_for_itself_and_do_not_matter(host: Host) -> None:
    host.hear("b", having(5, epoch=Epoch(7, HERE.cluster_id)))
    assert host.wait(5) == MET


def test_a_revision_of_another_etcd_is_not_in_force_however_high_the_old_ones_are(
    host: Host,
) -> None:
    assert host.wait(3, cluster_id=0xDEF) == []
    assert set(host.pending().values()) == {Progress.OTHER_STORE}


def test_without_an_etcd_named_it_is_the_one_that_we_follow(host: Host) -> None:
    assert host.wait(5, cluster_id=None) == MET


def test_before_the_first_snapshot_nothing_is_in_force() -> None:
    host = Host()
    assert host.wait(0) == []
    assert host.pending() == {"me": Progress.SILENT}


def test_one_that_is_ahead_counts_once_we_are_there_too(host: Host) -> None:
    host.hear("a", having(8))
    host.wait(5)
    assert host.pending() == {"a": Progress.AHEAD}
    assert on.WaitMet(1) in host.own(having(8))


def test_who_does_not_hear_etcd_cannot_judge_who_is_ahead(host: Host) -> None:
    host.own(having(5, sync=Sync.STALE))
    host.hear("a", having(8))
    assert host.wait(5) == MET


def test_a_member_that_dies_is_not_waited_for_and_named(host: Host) -> None:
    host.own(having(6))
    host.hear("a", having(6))
    host.wait(6)
    assert host.member("b", Status.SUSPECT) == []
    assert host.member("b", Status.DEAD) == MET
    assert host.core.wait_view(1).gone == ("b",)


def test_a_member_that_comes_back_is_waited_for_again(host: Host) -> None:
    host.own(having(6))
    host.wait(6)
    host.member("b", Status.DEAD)
    host.member("b", Status.ALIVE)
    assert set(host.pending()) == {"a", "b"}
    assert host.core.wait_view(1).gone == ()


def test_dead_and_left_members_are_not_waited_for_from_the_start(host: Host) -> None:
    host.own(having(6))
    host.member("a", Status.DEAD)
    host.member("b", Status.LEFT)
    assert host.wait(6) == MET
    assert host.core.wait_view(1).gone == ()


def test_words_of_an_earlier_life_do_not_count(host: Host) -> None:
    host.member("b", epoch=2)
    host.wait(5)
    assert host.pending() == {"b": Progress.SILENT}
    assert host.hear("b", having(5), epoch=2) == MET


def test_a_member_heard_of_before_it_is_known_counts_once_it_is(host: Host) -> None:
    host.hear("c", having(4))
    assert host.wait(5) == MET
    host.handle(on.WaitEnded(1))
    host.member("c")
    assert host.wait(5) == []
    assert host.pending() == {"c": Progress.BEHIND}


def test_words_that_gossip_holds_no_more_do_not_count(host: Host) -> None:
    host.handle(on.RecordDropped("b"))
    host.handle(on.RecordDropped("nobody"))
    host.wait(5)
    assert host.pending() == {"b": Progress.SILENT}
    host.member("b", Status.LEFT)
    host.handle(on.RecordDropped("b"))
    assert [row.node for row in host.core.view().members] == ["a"]


def test_while_a_member_holds_off_another_etcd_no_etcd_named_means_none(host: Host) -> None:
    host.hear("b", having(5, sync=Sync.HELD))
    host.wait(5, cluster_id=None)
    assert host.pending() == {"b": Progress.HELD}


def test_nobody_is_asked_while_nobody_waits(host: Host) -> None:
    host.hear("a", having(4))
    assert host.core.deadline() is None


def test_those_that_lag_are_asked_soon_and_then_less_often(host: Host) -> None:
    host.own(having(6))
    host.wait(6)
    asked = []
    while host.now_s < 20:
        due = host.core.deadline()
        assert due is not None
        assert due > host.now_s
        host.now_s = due
        (effect,) = host.handle(on.TimePassed())
        assert effect == on.AskRecords(("a", "b"))
        asked.append(due)
    assert asked[0] == pytest.approx(0.05)
    gaps = [later - sooner for sooner, later in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(2.0)
    host.handle(on.WaitEnded(1))
    assert host.core.deadline() is None


def test_a_large_mesh_is_asked_in_turns_and_less_often_only_once_all_were_asked() -> None:
    host = Host()
    host.own(having(5))
    nodes = [f"n{number:03}" for number in range(2 * ASKED_MAX + 10)]
    for node in nodes:
        host.member(node)
    host.wait(5)
    asked: list[str] = []
    for _ in range(3):
        due = host.core.deadline()
        assert due is not None
        host.now_s = due
        (effect,) = host.handle(on.TimePassed())
        assert isinstance(effect, on.AskRecords)
        assert len(effect.nodes) <= ASKED_MAX
        asked += effect.nodes
    assert asked == nodes
    assert host.now_s == pytest.approx(0.05 + 2 * 0.2)


def test_a_met_wait_asks_nobody(host: Host) -> None:
    host.wait(5)
    assert host.core.deadline() is None


def test_bytes_that_are_no_standing_are_counted_and_change_nothing(host: Host) -> None:
    before = host.core.view().members
    assert host.hear("a", b"\xc1") == []
    assert host.core.view().members == before
    assert host.core.view().unreadable == 1


def test_own_records_from_others_are_no_news(host: Host) -> None:
    assert host.hear("me", having(1)) == []
    assert host.core.view().own == having(5)


def test_the_age_of_a_word_counts_from_when_it_was_said(host: Host) -> None:
    host.now_s = 10.0
    host.hear("a", having(6), age_ms=4000)
    (row,) = (one for one in host.core.view().members if one.node == "a")
    assert row.said_s == pytest.approx(6.0)


def test_versions_are_listed_with_who_runs_them(host: Host) -> None:
    host.hear("b", having(5, version="1.1"))
    assert host.core.view().versions == {"1.0": ("a", "me"), "1.1": ("b",)}
    host.member("b", Status.LEFT)
    assert host.core.view().versions == {"1.0": ("a", "me")}


def test_rows_are_bounded_and_the_gone_make_room() -> None:
    host = Host()
    for number in range(ROWS_MAX):
        host.member(f"n{number}")
    host.member("one-more")
    assert len(host.core.view().members) == ROWS_MAX
    host.member("n7", Status.LEFT)
    host.member("one-more")
    names = {row.node for row in host.core.view().members}
    assert "one-more" in names
    assert "n7" not in names
    assert len(names) == ROWS_MAX


def test_marks_of_keys_are_32_bits_and_take_any_key() -> None:
    assert 0 <= mark_of("ns/default/virtualservices/reviews") < 2**32
    assert mark_of("\udcff") != mark_of("a")
