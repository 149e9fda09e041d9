"""What one sidecar answers for the whole mesh, as JSON; and with gossip off, that it is off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sidecar.agent.bell import Bell
from sidecar.agent.mesh_answers import MeshAnswers
from sidecar.agent.mesh_wide import MeshWide
from sidecar.agent.wanted import Wanted
from sidecar.gossip import Status
from sidecar.mesh.model import HostName
from sidecar.outlier.events import Override, OverrideKind
from sidecar.outlier.model import Destination
from sidecar.outlier.view import OutlierView
from sidecar.standing.model import Standing, Sync
from store.errors import ConflictError, InputError
from store.snapshot import Epoch
from tests.harness.fake_gossip import FakeGossip

HERE = Epoch(1, 0xABC)


def having(revision: int, **fields: Any) -> Standing:
    base = Standing(HERE, revision, f"{revision:032x}", revision, Sync.STORE, version="1.0")
    return replace(base, **fields)


async def in_force_at_once(_: Wanted) -> None:
    """This host has everything."""


class Ejection:
    """Shared ejection that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[Override] = []

    def view(self) -> OutlierView:
        return OutlierView(at_s=0.0, node="me", destinations=2)

    def operator_said(self, override: Override) -> None:
        self.said.append(override)


@pytest.fixture
def gossip() -> FakeGossip:
    return FakeGossip()


@pytest.fixture
async def answers(nursery: trio.Nursery, gossip: FakeGossip) -> MeshAnswers:
    wide = MeshWide("me", lambda: having(5), Bell())
    made = MeshAnswers(wide, in_force_at_once, lambda: {"address": "x"})
    made.wide.join(gossip)
    nursery.start_soon(made.wide.run)
    await wait_all_tasks_blocked()
    gossip.member("a")
    gossip.hear("a", having(5, quarantined=1, withheld=(7,)), age_ms=0)
    gossip.member("b", Status.SUSPECT)
    gossip.member("c", Status.DEAD)
    return made


def rows(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Members of an answer by name; it must be JSON."""
    whole = json.loads(json.dumps(answer, allow_nan=False))
    return {row["node"]: row for row in whole["members"]}


async def test_mesh_has_the_words_of_all_and_who_said_none(
    answers: MeshAnswers, autojump_clock: MockClock
) -> None:
    answer = answers.mesh()
    found = rows(answer)
    assert list(found) == ["me", "a", "b", "c"]
    assert (found["me"]["own"], found["me"]["in_force"], found["me"]["told_s"]) == (True, 5, 0.0)
    assert found["a"]["withheld"] == [7]
    assert (found["a"]["heard"], found["b"]["heard"]) == (True, False)
    assert [found[node]["status"] for node in "abc"] == ["alive", "suspect", "dead"]
    assert answer["gossip"] == {"state": "on", "reason": ""}
    assert answer["versions"] == {"1.0": ["a", "me"]}


async def test_the_summary_counts_those_that_are_here(
    answers: MeshAnswers, gossip: FakeGossip, autojump_clock: MockClock
) -> None:
    assert answers.mesh()["summary"] == {
        "members": 3,
        "cluster": "abc",
        "newest": 5,
        "in_force": 2,
        "lagging": ["b"],
    }
    gossip.hear("a", having(6, in_force=5))
    assert answers.mesh()["summary"]["lagging"] == ["a", "b", "me"]


async def test_alarms_name_who_claims_what(
    answers: MeshAnswers, gossip: FakeGossip, autojump_clock: MockClock
) -> None:
    gossip.hear("a", having(5, received_hash="f" * 32))
    (alarm,) = json.loads(json.dumps(answers.mesh()))["alarms"]
    assert alarm["kind"] == "hashes-differ"
    assert (alarm["cluster"], alarm["revision"]) == ("abc", 5)
    assert alarm["claims"] == {f"{5:032x}": ["me"], "f" * 32: ["a"]}


async def test_peers_has_how_each_is_held_and_this_hosts_own_gossip(
    answers: MeshAnswers, autojump_clock: MockClock
) -> None:
    answer = answers.peers()
    found = rows(answer)
    assert answer["own"] == {"address": "x"}
    assert answer["counts"] == {"alive": 2, "suspect": 1, "dead": 1, "left": 0}
    assert found["b"]["accusers"] == ["x"]
    assert found["a"]["standing"]["in_force"] == 5
    assert found["b"]["standing"] is None


async def test_a_wait_for_the_mesh_names_each_with_where_it_is(
    answers: MeshAnswers, gossip: FakeGossip, autojump_clock: MockClock
) -> None:
    is_met, answer = await answers.in_force(Wanted(5, HERE.cluster_id), 1.0)
    assert not is_met
    assert (answer["in_force"], answer["waited_for"]) == (2, 3)
    assert answer["lagging"] == {"b": "silent"}
    assert rows(answer)["a"]["withheld"] == [7]
    gossip.hear("b", having(5))
    is_met, answer = await answers.in_force(Wanted(5, HERE.cluster_id), 1.0)
    assert (is_met, answer["lagging"], answer["scope"]) == (True, {}, "mesh")
    assert rows(answer)["b"]["state"] == "in-force"


async def test_where_this_host_may_have_missed_that_etcd_lives_anew_nothing_is_certain(
    answers: MeshAnswers, gossip: FakeGossip, autojump_clock: MockClock
) -> None:
    async def never(_: Wanted) -> None:
        await trio.sleep_forever()

    answers.own_in_force = never
    gossip.hear("b", having(5))
    is_met, answer = await answers.in_force(Wanted(5, HERE.cluster_id), 1.0)
    assert not is_met
    assert answer["lagging"] == dict.fromkeys(("me", "a", "b"), "uncertain")
    assert (answer["in_force"], answer["waited_for"]) == (0, 3)
    assert answer["took_s"] == pytest.approx(1.0)


async def test_what_others_have_is_certain_though_this_host_lags(
    answers: MeshAnswers, gossip: FakeGossip, autojump_clock: MockClock
) -> None:
    async def never(_: Wanted) -> None:
        await trio.sleep_forever()

    answers.own_in_force = never
    gossip.hear("a", having(6))
    is_met, answer = await answers.in_force(Wanted(6, HERE.cluster_id), 1.0)
    assert not is_met
    assert answer["lagging"]["me"] == "behind"


async def test_keys_are_shown_by_fingerprint_and_changed(
    answers: MeshAnswers, autojump_clock: MockClock
) -> None:
    assert answers.keyring()["keys"] == ["one"]
    assert answers.change_keyring("install", b'{"key": "two"}')["keys"] == ["one", "two"]
    assert answers.change_keyring("use", b'{"key": "two"}')["keys"] == ["two", "one"]
    assert answers.change_keyring("remove", b'{"key": "one"}')["changed"] is True
    assert answers.change_keyring("remove", b'{"key": "one"}')["changed"] is False


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"key": ""}', b'{"key": 1}', b'{"key": "x", "y": 1}']
)
async def test_a_key_that_is_none_is_refused_and_not_repeated(
    answers: MeshAnswers, body: bytes, autojump_clock: MockClock
) -> None:
    with pytest.raises(InputError, match="must be JSON") as caught:
        answers.change_keyring("install", body)
    assert '"x"' not in str(caught.value)


async def test_an_operators_word_goes_to_shared_ejection(
    answers: MeshAnswers, autojump_clock: MockClock
) -> None:
    ejection = answers.ejection = Ejection()
    answer = answers.override("pause", b'{"destination": "a.b:80", "for": "1m"}')
    destination = Destination(HostName("a.b"), 80)
    assert ejection.said == [Override(OverrideKind.PAUSE, destination, None, 60.0)]
    assert (answer["destination"], answer["endpoint"], answer["for_s"]) == ("a.b:80", None, 60.0)
    assert answers.ejections()["destinations"] == 2


async def test_a_short_name_means_a_destination_that_takes_part(
    answers: MeshAnswers, autojump_clock: MockClock
) -> None:
    ejection = answers.ejection = Ejection()
    reviews = Destination(HostName("reviews.default.svc.cluster.local"), 9080)
    answers.destinations = lambda: [reviews]
    answers.override("pause", b'{"destination": "reviews:9080"}')
    assert ejection.said[0].destination == reviews


async def test_what_envoy_ejects_by_itself_is_shown_without_gossip_too(
    autojump_clock: MockClock,
) -> None:
    wide = MeshWide("me", lambda: having(5), Bell())
    answers = MeshAnswers(wide, in_force_at_once, ejection=Ejection())
    found = answers.ejections()
    assert (found["state"], found["destinations"]) == ("off", 2)


async def test_with_gossip_off_pages_say_so_and_deeds_are_refused(
    autojump_clock: MockClock,
) -> None:
    wide = MeshWide("me", lambda: having(5), Bell(), off="there is no key")
    answers = MeshAnswers(wide, in_force_at_once)
    off = {"state": "off", "reason": "there is no key"}
    for page in (answers.mesh(), answers.peers(), answers.ejections(), answers.keyring()):
        assert page["gossip"] == off
    with pytest.raises(ConflictError, match="on me: "):
        answers.change_keyring("install", b'{"key": "x"}')
    with pytest.raises(ConflictError, match="on me: "):
        answers.override("pause", b"{}")
    with pytest.raises(ConflictError):
        await answers.in_force(Wanted(5), 1.0)
