from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.gossip.records import PAGES_MAX
from sidecar.outlier.evidence import ROWS_MAX, Evidence
from tests.sidecar.outlier.builders import RATINGS, REVIEWS, bad, clear, place, record

LIFETIME_S = 15.0
NAME = (REVIEWS, place(0))


def test_rows_are_heard_at_our_own_clock() -> None:
    evidence = Evidence()
    heard = evidence.hear(record("n1", bad(0, 100.0), now_s=101.0, age_ms=500), 7.0, LIFETIME_S)
    assert heard == {NAME}
    assert evidence.about(NAME)["n1"].accused_s == 5.5
    assert len(evidence) == 1


def test_a_newer_page_replaces_what_the_host_said_before_on_it() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), bad(1), now_s=0.0), 0.0, LIFETIME_S)
    touched = evidence.hear(record("n1", bad(1), now_s=0.0, version=2), 0.0, LIFETIME_S)
    assert touched == {NAME}
    assert set(evidence.of(REVIEWS)) == {place(1)}


def test_an_older_page_changes_nothing() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", now_s=0.0, version=5), 0.0, LIFETIME_S)
    assert evidence.hear(record("n1", bad(0), now_s=0.0, version=4), 0.0, LIFETIME_S) == set()
    assert len(evidence) == 0


def test_a_later_life_ends_all_that_earlier_ones_said() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), now_s=0.0), 0.0, LIFETIME_S)
    evidence.hear(record("n1", bad(1), now_s=0.0, page=1), 0.0, LIFETIME_S)
    later = record("n1", bad(2), now_s=0.0, page=2, epoch=2)
    assert evidence.hear(later, 0.0, LIFETIME_S) == {(REVIEWS, place(n)) for n in range(3)}
    assert set(evidence.of(REVIEWS)) == {place(2)}
    assert evidence.hear(record("n1", bad(3), now_s=0.0, page=3), 0.0, LIFETIME_S) == set()


def test_a_row_that_moves_to_another_page_is_not_lost_with_its_old_one() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), now_s=0.0), 0.0, LIFETIME_S)
    evidence.hear(record("n1", clear(0), now_s=0.0, page=1, version=2), 0.0, LIFETIME_S)
    evidence.hear(record("n1", now_s=0.0, page=0, version=3), 0.0, LIFETIME_S)
    assert evidence.about(NAME)["n1"].ok == 5


def test_a_renewal_that_says_the_same_touches_nothing_and_keeps_the_row_alive() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0, 0.0), now_s=1.0), 1.0, LIFETIME_S)
    renewed = record("n1", bad(0, 0.0), now_s=6.0, version=2, age_ms=40)
    assert evidence.hear(renewed, 6.07, LIFETIME_S) == set()
    assert evidence.about(NAME)["n1"].accused_s == 0.0, "the time that was heard first stays"
    assert evidence.bury(16.5) == set()
    assert evidence.bury(6.07 + LIFETIME_S) == {NAME}


def test_a_row_dies_when_nothing_renews_it_counted_from_when_it_was_said() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), now_s=0.0, age_ms=4000), 100.0, LIFETIME_S)
    assert evidence.deadline() == 96.0 + LIFETIME_S
    assert evidence.bury(110.9) == set()
    assert evidence.bury(111.0) == {NAME}
    assert len(evidence) == 0
    assert evidence.deadline() is None
    assert list(evidence.destinations()) == []


def test_many_renewals_leave_no_heap_of_deaths_behind() -> None:
    evidence = Evidence()
    for version in range(1, 1000):
        evidence.hear(record("n1", bad(0), now_s=0.0, version=version), 0.0, LIFETIME_S)
    assert len(evidence._deaths) < 100
    assert evidence.bury(LIFETIME_S) == {NAME}


def test_what_is_older_than_its_lifetime_is_dead_on_arrival() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), now_s=0.0, age_ms=15_000), 100.0, LIFETIME_S)
    assert len(evidence) == 0


def test_our_own_rows_do_not_die_by_themselves() -> None:
    evidence = Evidence()
    evidence.put("n0", bad(0))
    assert evidence.deadline() is None
    assert evidence.bury(1e9) == set()
    evidence.remove("n0", NAME)
    evidence.remove("n0", NAME)
    assert len(evidence) == 0


def test_accusations_leave_out_our_own_and_what_is_no_accusation() -> None:
    evidence = Evidence()
    for node, row in (("n0", bad(0)), ("n1", bad(0)), ("n2", clear(0))):
        evidence.put(node, row)
    assert set(evidence.accusations(NAME, "n0")) == {"n1"}


def test_a_host_has_so_many_rows_and_no_more() -> None:
    evidence = Evidence()
    for page in range(PAGES_MAX):
        rows = [bad(page * 12 + number) for number in range(12)]
        evidence.hear(record("n1", *rows, now_s=0.0, page=page), 0.0, LIFETIME_S)
    assert len(evidence) == ROWS_MAX
    assert evidence.rows_refused == 12 * PAGES_MAX - ROWS_MAX


def test_what_is_no_page_is_counted_and_what_was_said_before_stays() -> None:
    evidence = Evidence()
    good = record("n1", bad(0), now_s=0.0)
    evidence.hear(good, 0.0, LIFETIME_S)
    assert evidence.hear(replace(good, version=2, body=b"\xc1"), 0.0, LIFETIME_S) == set()
    assert evidence.hear(replace(good, version=3, page=PAGES_MAX), 0.0, LIFETIME_S) == set()
    assert evidence.hear(replace(good, version=4, page=-1), 0.0, LIFETIME_S) == set()
    assert evidence.pages_refused == 3
    assert len(evidence) == 1


def test_memory_is_bounded_whatever_hosts_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.outlier.evidence.PAGES_HELD_MAX", 50)
    evidence = Evidence()
    one = record("x", bad(0), now_s=0.0)
    for number in range(50 + 3):
        evidence.hear(replace(one, node=f"x{number}"), 0.0, LIFETIME_S)
    assert len(evidence) == 50
    assert evidence.pages_refused == 3


def test_epochs_of_hosts_that_are_gone_are_forgotten_with_their_rows() -> None:
    evidence = Evidence()
    evidence.hear(record("n1", bad(0), now_s=0.0, epoch=9), 0.0, LIFETIME_S)
    evidence.keep({"n0"})
    assert evidence.hear(record("n1", now_s=0.0, version=2), 0.0, LIFETIME_S) == set()
    evidence.bury(LIFETIME_S)
    evidence.keep({"n0"})
    assert evidence.hear(record("n1", bad(0), now_s=20.0), 20.0, LIFETIME_S) == {NAME}


def test_rows_are_found_by_destination() -> None:
    evidence = Evidence()
    evidence.put("n1", bad(0))
    evidence.put("n1", replace(bad(0), destination=RATINGS))
    assert set(evidence.destinations()) == {REVIEWS, RATINGS}
    assert evidence.about((RATINGS, place(1))) == {}
