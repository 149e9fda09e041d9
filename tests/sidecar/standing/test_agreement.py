"""The alarm: members that have one revision of one etcd have the same content, or a person must look."""

from __future__ import annotations

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.records import Record, Topic
from sidecar.standing import events as on
from sidecar.standing.agreement import OWN_REMEMBERED
from sidecar.standing.codec import encode
from sidecar.standing.model import Standing, Sync
from sidecar.standing.standings import Standings
from store.snapshot import Epoch

GOOD, BAD = "0" * 32, "f" * 32


def say(core: Standings, node: str, revision: int, content: str, cluster_id: int = 7) -> list[str]:
    """The node says so; returns what is said about it, by name."""
    standing = Standing(Epoch(1, cluster_id), revision, content, 0, Sync.STORE)
    event: on.Event
    if node == "me":
        event = on.OwnChanged(standing)
    else:
        core.handle(on.MemberChanged(Identity(node, "10.0.0.1:1", 1), None, Status.ALIVE, 0), 0.0)
        event = on.RecordHeard(
            Record(Topic.STANDING, node, 0, 1, revision, encode(standing), b"", b"")
        )
    effects = core.handle(event, 0.0)
    return [type(effect).__name__ for effect in effects if not isinstance(effect, on.Say)]


def test_two_hashes_at_one_revision_are_flagged_once_and_listed_until_resolved() -> None:
    core = Standings("me")
    assert say(core, "a", 5, GOOD) == []
    assert say(core, "b", 5, BAD) == ["HashesDiffer"]
    assert say(core, "c", 5, GOOD) == []
    (alarm,) = core.view().alarms
    assert alarm == on.HashesDiffer(7, 5, {GOOD: ("a", "c"), BAD: ("b",)})
    assert say(core, "b", 6, GOOD) == ["HashesAgree"]
    assert core.view().alarms == ()


def test_our_own_content_counts() -> None:
    core = Standings("me")
    say(core, "me", 5, GOOD)
    assert say(core, "a", 5, BAD) == ["HashesDiffer"]


def test_what_we_had_lately_counts_though_we_have_gone_on() -> None:
    core = Standings("me")
    say(core, "me", 5, GOOD)
    say(core, "me", 6, GOOD)
    assert say(core, "a", 5, BAD) == ["HashesDiffer"]
    assert say(core, "a", 6, GOOD) == ["HashesAgree"]


def test_what_we_had_long_ago_is_forgotten() -> None:
    core = Standings("me")
    for revision in range(5, 6 + OWN_REMEMBERED):
        say(core, "me", revision, GOOD)
    assert say(core, "a", 5, BAD) == []


def test_other_revisions_and_other_etcds_are_not_compared() -> None:
    core = Standings("me")
    say(core, "a", 5, GOOD)
    assert say(core, "b", 6, BAD) == []
    assert say(core, "c", 5, BAD, cluster_id=8) == []


def test_one_that_dies_claims_nothing_any_more() -> None:
    core = Standings("me")
    say(core, "a", 5, GOOD)
    say(core, "b", 5, BAD)
    gone = on.MemberChanged(Identity("b", "10.0.0.1:1", 1), Status.ALIVE, Status.DEAD, 0)
    assert core.handle(gone, 1.0) == [on.HashesAgree(7, 5)]
