"""The book: what hosts say about revisions, and how much of it is enough."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.relay.book import ABSENT_MAX, STATED_MAX, WORDS_MAX, Book, Target
from sidecar.relay.wire import Attested
from sidecar.standing.model import Standing, Sync
from tests.sidecar.relay.words import CLUSTER, said

RUN = settings(max_examples=60)


def hash_of(digit: str) -> bytes:
    return bytes.fromhex(digit * 32)


def book(**standings: Standing) -> Book:
    found = Book()
    found.seen(standings.keys())
    for node, standing in standings.items():
        found.heard(node, standing)
    return found


def test_two_hosts_attest_what_one_does_not() -> None:
    one = book(a=said(7, "1"), b=said(6, "2"))
    assert one.attested(CLUSTER, 2, above=0) == ()
    one.heard("b", said(7, "1"))
    assert one.attested(CLUSTER, 2, above=0) == (Target(CLUSTER, 7, hash_of("1")),)
    assert one.attesters(CLUSTER, hash_of("1")) == ("a", "b")


def test_one_host_that_says_it_twice_is_one_host() -> None:
    one = book(a=said(7, "1"))
    one.heard("a", said(7, "1"))
    one.stated("a", CLUSTER, [Attested(7, hash_of("1"))])
    assert one.attested(CLUSTER, 2, above=0) == ()


def test_who_follows_peers_attests_nothing_but_can_be_asked_for_it() -> None:
    one = book(a=said(7, "1"), b=said(7, "1", Sync.PEERS))
    assert one.attested(CLUSTER, 2, above=0) == ()
    assert one.holders(Target(CLUSTER, 7, hash_of("1"))) == ["a", "b"]


def test_who_is_beyond_may_remember_it() -> None:
    one = book(a=said(7, "1"), b=said(8, "2"), c=said(6, "3"))
    assert one.beyond(Target(CLUSTER, 7, hash_of("1"))) == ["b"]


def test_who_lost_etcd_attests_what_it_had() -> None:
    one = book(a=said(7, "1", Sync.STALE), b=said(7, "1", Sync.HELD))
    assert len(one.attested(CLUSTER, 2, above=0)) == 1
    assert one.at_store(CLUSTER) == []


def test_the_revision_is_the_one_that_enough_hosts_say() -> None:
    """A lone liar neither raises nor lowers the label of content that others hold."""
    one = book(a=said(100, "1"), b=said(105, "1"), c=said(10**18, "1"))
    assert one.attested(CLUSTER, 2, above=0)[0].revision == 105
    assert one.attested(CLUSTER, 3, above=0)[0].revision == 100


def test_a_word_holds_after_its_host_has_moved_on() -> None:
    one = book(a=said(7, "1"), b=said(8, "2"))
    one.heard("a", said(8, "2"))
    one.heard("b", said(9, "3"))
    assert [t.revision for t in one.attested(CLUSTER, 2, above=0)] == [8]


def test_words_of_one_host_are_bounded() -> None:
    one = book(a=said(1, "1"))
    for revision in range(2, 2 + WORDS_MAX):
        one.heard("a", said(revision, f"{revision:x}"))
    assert len(one.attested(CLUSTER, 1, above=0)) == WORDS_MAX
    assert one.attesters(CLUSTER, hash_of("1")) == ()


def test_statements_are_those_of_a_few_hosts() -> None:
    one = Book()
    for number in range(STATED_MAX + 3):
        one.stated(f"n{number}", CLUSTER, [Attested(7, hash_of("1"))])
    assert len(one.attesters(CLUSTER, hash_of("1"))) == STATED_MAX


def test_a_later_statement_replaces_the_earlier_one() -> None:
    one = Book()
    one.stated("a", CLUSTER, [Attested(7, hash_of("1")), Attested(8, hash_of("2"))])
    one.stated("a", CLUSTER, [Attested(8, hash_of("2")), Attested(9, hash_of("3"))])
    assert [t.revision for t in one.attested(CLUSTER, 1, above=0)] == [9, 8]


def test_whoever_is_long_gone_is_forgotten() -> None:
    one = Book()
    for number in range(ABSENT_MAX + 5):
        one.heard(f"n{number}", said(7, "1"))
    one.seen({})
    assert len(one.attesters(CLUSTER, hash_of("1"))) == ABSENT_MAX
    assert one.standing("n0") is None


def test_hosts_without_a_hash_that_can_be_compared_attest_nothing() -> None:
    empty = Standing(None, 0, "", 0, Sync.STALE)
    one = book(a=empty, b=replace(said(7, "1"), received_hash="not hex".ljust(32)))
    assert one.attested(CLUSTER, 1, above=-1) == ()
    assert one.holders(Target(CLUSTER, 7, hash_of("1"))) == []


def test_strangers_do_not_count_until_another_epoch_is_followed() -> None:
    one = book(a=said(7, "1"), b=said(7, "1"), c=said(6, "2"))
    one.distrust(["a", "b"])
    one.heard("a", said(8, "3"))
    one.stated("b", CLUSTER, [Attested(8, hash_of("3"))])
    assert one.attested(CLUSTER, 1, above=0) == (Target(CLUSTER, 6, hash_of("2")),)
    assert one.at_store(CLUSTER) == ["c"]
    assert one.claimants(CLUSTER, 0) == ["c"]
    one.begin_anew()
    assert set(one.at_store(CLUSTER)) == set("abc")
    assert one.attesters(CLUSTER, hash_of("3")) == ("a",), "what is said now counts again"


def test_what_hosts_stand_at_now_is_known_beside_what_they_once_said() -> None:
    one = book(a=said(9, "1"), b=said(9, "1"), c=said(9, "1", Sync.STALE))
    one.heard("a", said(5, "2"))
    one.heard("b", said(5, "2"))
    assert one.current(CLUSTER, 2) == (Target(CLUSTER, 5, hash_of("2")),)
    assert one.clusters() == {CLUSTER: (2, 3)}


def test_absent_members_are_not_asked_and_have_nothing_in_reach() -> None:
    one = book(a=said(9, "1"), b=said(9, "1"))
    one.seen({"b": None})
    assert one.holders(Target(CLUSTER, 9, hash_of("1"))) == ["b"]
    assert one.at_store(CLUSTER) == ["b"]
    assert one.attesters(CLUSTER, hash_of("1")) == ("a", "b"), "but what they said stays true"


words = st.tuples(
    st.sampled_from("abcd"),
    st.integers(0, 12),
    st.sampled_from("0123"),
    st.sampled_from([Sync.STORE, Sync.STALE, Sync.PEERS]),
    st.sampled_from(["heard", "stated", "forget", "distrust", "anew"]),
)


@RUN
@given(st.lists(words, max_size=40))
def test_the_indexes_agree_with_what_was_said(steps: list[tuple[str, int, str, Sync, str]]) -> None:
    one = Book()
    one.seen(set("abcd"))
    for node, revision, digit, sync, step in steps:
        match step:
            case "heard":
                one.heard(node, said(revision, digit, sync))
            case "stated":
                one.stated(node, CLUSTER, [Attested(revision, hash_of(digit))])
            case "forget":
                one.forget(node)
            case "distrust":
                one.distrust([node])
            case "anew":
                one.begin_anew()
    for digit in "0123":
        standing_so = {
            node
            for node in "abcd"
            if (s := one.standing(node)) is not None and s.received_hash == digit * 32
        }
        target = Target(CLUSTER, 10**9, hash_of(digit))
        assert set(one.holders(target)) <= standing_so
    for node in "abcd":
        one.forget(node)
    assert not one.attested(CLUSTER, 0, above=-1)
    assert not one.clusters()
    assert not one._tops


def test_what_is_told_is_what_enough_hosts_at_etcd_have_beside_us() -> None:
    one = book(a=said(7, "1"), b=said(9, "2"), c=said(8, "3"))
    assert one.told(CLUSTER, hash_of("9"), 2) == 8, "the second of three"
    assert one.told(CLUSTER, hash_of("2"), 2) == 7, "b has what we have"
    liar = book(a=said(7, "1"), b=said(7, "1"), c=said(10_000, "3"))
    assert liar.told(CLUSTER, hash_of("1"), 2) == 0, "one alone says something else"
    alone = book(a=said(7, "1"), b=replace(said(9, "2"), sync=Sync.PEERS))
    assert alone.told(CLUSTER, hash_of("9"), 2) == 7, "the only one that has etcd in reach"
    assert Book().told(CLUSTER, hash_of("9"), 2) == 0
