"""Statements and rounds of asking for them: signed, passed on unchanged, asked for seldom."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from sidecar.relay.asking import Asker, Notary
from sidecar.relay.backoffs import Backoffs
from sidecar.relay.book import Book
from sidecar.relay.history import History
from sidecar.relay.statements import is_genuine, make_statement
from sidecar.relay.voice import Voice
from sidecar.relay.wire import Attested, Statement, Vouches, VouchRequest
from sidecar.standing.model import Sync
from tests.sidecar.relay.words import CLUSTER, Key, asks, line, said, voice_of

MESH = "mesh"
PAIRS = (Attested(7, bytes(16)), Attested(8, bytes(15) + b"1"))
KEYS = {name: Key(number) for number, name in enumerate("abcd", 1)}


def statement(node: str, pairs: tuple[Attested, ...] = PAIRS) -> Statement:
    return make_statement(KEYS[node], MESH, node, CLUSTER, pairs)


def test_a_statement_is_genuine_as_its_host_made_it_and_in_no_other_form() -> None:
    one = statement("a")
    key = KEYS["a"].public
    assert is_genuine(one, MESH, key)
    assert not is_genuine(one, "other", key)
    assert not is_genuine(one, MESH, KEYS["b"].public)
    assert not is_genuine(one, MESH, b"no key")
    assert not is_genuine(replace(one, node="b"), MESH, key)
    assert not is_genuine(replace(one, cluster_id=9), MESH, key)
    assert not is_genuine(replace(one, pairs=PAIRS[:1]), MESH, key)
    assert not is_genuine(replace(one, signature=bytes(64)), MESH, key)


class Round:
    """One host that asks others."""

    def __init__(self, *peers: str) -> None:
        self.voice: Voice = voice_of(*peers)
        self.book = Book()
        self.book.seen(set(peers))
        self.notary = Notary(self.voice, MESH, Key(99))
        self.asker = Asker(self.voice, self.book, Backoffs(self.voice), self.notary)
        for name in peers:
            self.notary.knows(name, KEYS[name].public)

    def begin(self, now_s: float) -> list[tuple[int, str]]:
        """Ask, some time after the claim was first seen."""
        self.asker.begin(CLUSTER, 5, now_s - 1.0)
        return self.begin_at(now_s)

    def begin_at(self, now_s: float) -> list[tuple[int, str]]:
        self.voice.effects = []
        self.asker.begin(CLUSTER, 5, now_s)
        found = asks(self.voice.effects)
        assert all(word == VouchRequest(CLUSTER, 5) for _, _, word in found)
        return [(call, node) for call, node, _ in found]


def test_those_who_claim_more_are_asked_and_what_two_state_is_attested() -> None:
    one = Round("a", "b", "c")
    one.book.heard("a", said(7, "1"))
    one.book.heard("b", said(8, "2"))
    calls = {node: call for call, node in one.begin(10.0)}
    assert set(calls) == {"a", "b"}
    one.asker.answered(calls["a"], Vouches((statement("a"),)), 10.1)
    assert one.book.attested(CLUSTER, 2, above=5) == ()
    one.asker.answered(calls["b"], Vouches((statement("b", PAIRS[1:]),)), 10.2)
    assert [t.revision for t in one.book.attested(CLUSTER, 2, above=5)] == [8]


def test_a_host_passes_on_what_others_state_but_cannot_alter_it() -> None:
    one = Round("a", "b")
    one.book.heard("a", said(8, "2"))
    ((call, node),) = one.begin(10.0)
    forged = replace(statement("b"), pairs=(Attested(9, bytes(16)),))
    one.asker.answered(call, Vouches((statement("a"), statement("b"), forged)), 10.1)
    assert node == "a"
    assert one.book.attesters(CLUSTER, PAIRS[0].hash) == ("a", "b")
    assert one.book.attested(CLUSTER, 1, above=8) == ()
    assert one.voice.counters["statements_refused"] == 1


def test_nobody_states_anything_in_our_name() -> None:
    one = Round("a")
    one.notary.knows("me", KEYS["b"].public)
    own = make_statement(KEYS["b"], MESH, "me", CLUSTER, PAIRS)
    assert not one.notary.accepts(own)


def test_a_new_key_of_a_host_ends_what_the_old_one_stated() -> None:
    one = Round("a")
    assert one.notary.accepts(statement("a"))
    one.notary.knows("a", KEYS["b"].public)
    assert not one.notary.accepts(statement("a"))


def test_rounds_in_vain_become_rare_and_a_new_claim_ends_that() -> None:
    one = Round("a", "b")
    one.book.heard("a", said(10**9, "f"))
    now_s, times = 10.0, []
    while now_s < 100.0:
        calls = one.begin_at(now_s)
        for call, _ in calls:
            one.asker.answered(call, Vouches(()), now_s)
        if calls:
            times.append(now_s)
        now_s += 0.1
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) < 15
    assert gaps[-1] > 7.0
    one.book.heard("b", said(8, "2"))
    assert {node for _, node in one.begin(times[-1] + 1.1)} == {"a", "b"}


def test_nobody_is_asked_at_once_since_a_second_standing_may_be_on_its_way() -> None:
    one = Round("a", "b")
    one.book.heard("a", said(8, "2"))
    assert not one.begin_at(10.0)
    due_s = one.asker.deadline(CLUSTER, 5)
    assert due_s is not None
    assert 10.5 <= due_s <= 11.0
    assert one.begin_at(due_s)


def test_a_round_that_nobody_answers_ends_by_itself() -> None:
    one = Round("a")
    one.book.heard("a", said(8, "2"))
    assert one.begin(10.0)
    assert not one.begin(12.0)
    due_s = one.asker.deadline(CLUSTER, 5)
    assert due_s is not None
    assert one.begin(due_s)


def test_hosts_without_a_key_are_not_asked() -> None:
    one = Round("a")
    one.notary.knows("a", b"")
    one.book.heard("a", said(8, "2"))
    assert not one.begin(10.0)
    assert one.asker.deadline(CLUSTER, 5) is None


@pytest.mark.parametrize("word", [None, VouchRequest(CLUSTER, 1)])
def test_who_answers_something_else_is_left_alone(word: VouchRequest | None) -> None:
    one = Round("a")
    one.book.heard("a", said(8, "2"))
    ((call, _),) = one.begin(10.0)
    one.asker.answered(call, word, 10.1)
    assert not one.begin(30.0)


def test_a_host_states_what_it_had_from_etcd_and_adds_what_it_heard() -> None:
    one = Round("a", "b")
    history = History(8)
    for snapshot in line(10, 3):
        history.remember(snapshot, is_first_hand=True)
    assert one.notary.accepts(statement("a"))
    assert one.notary.accepts(statement("b", PAIRS[:1]))
    found = one.notary.statements(history, VouchRequest(CLUSTER, 7))
    assert [s.node for s in found] == ["me", "a"], "what is old news is left out"
    assert [pair.revision for pair in found[0].pairs] == [10, 11, 12]
    assert is_genuine(found[0], MESH, Key(99).public)
    assert one.notary.statements(history, VouchRequest(7, 0)) == (), "of this cluster only"


def test_a_host_without_a_key_or_without_etcd_states_nothing() -> None:
    history = History(8)
    history.remember(line(10, 1)[0], is_first_hand=False)
    assert Round("a").notary.statements(history, VouchRequest(CLUSTER, 0)) == ()
    history.remember(line(10, 2)[1], is_first_hand=True)
    keyless = Notary(voice_of(), MESH, None)
    assert keyless.statements(history, VouchRequest(CLUSTER, 0)) == ()


def test_who_follows_peers_claims_nothing() -> None:
    one = Round("a")
    one.book.heard("a", said(8, "2", Sync.PEERS))
    assert not one.begin(10.0)
