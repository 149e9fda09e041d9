from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.gossip.records import PAGES_MAX, RECORD_BODY_BYTES_MAX, Topic
from sidecar.mesh.model import HostName
from sidecar.outlier.evidence import ROWS_MAX
from sidecar.outlier.evidence_codec import decode_page
from sidecar.outlier.model import Destination, Place, Row
from sidecar.outlier.telling import RENEWAL_S_MAX, RENEWALS, Telling, is_news
from tests.sidecar.outlier.builders import RATINGS, REVIEWS, bad, clear, neutral, place

LIFETIME_S = 15.0


def test_a_change_says_one_page_and_nothing_new_says_none() -> None:
    telling = Telling()
    telling.tell(bad(0))
    (said,) = telling.speak(0.0)
    assert said.topic is Topic.EVIDENCE
    assert telling.speak(0.0) == []
    telling.tell(bad(0, external=8))
    assert [say.page for say in telling.speak(1.0)] == [said.page]


def test_rows_of_one_destination_share_a_page_and_keep_it() -> None:
    telling = Telling()
    telling.tell(bad(0))
    telling.tell(replace(bad(0), destination=RATINGS))
    telling.tell(bad(1))
    first = {say.page for say in telling.speak(0.0)}
    telling.tell(bad(1, external=9))
    (again,) = telling.speak(0.0)
    page = decode_page(again.body, 0.0)
    assert page is not None
    assert {row.place for row in page.rows if row.destination == REVIEWS} == {place(0), place(1)}
    assert again.page in first


def test_a_withdrawn_row_leaves_its_page_and_the_last_one_withdraws_the_page() -> None:
    telling = Telling()
    telling.tell(bad(0))
    telling.speak(0.0)
    assert telling.withdraw((REVIEWS, place(0)))
    assert not telling.withdraw((REVIEWS, place(0)))
    assert [say.body for say in telling.speak(1.0)] == [b""]
    assert telling.deadline(LIFETIME_S) is None


def test_pages_are_renewed_in_a_third_of_their_lifetime_with_what_is_current() -> None:
    telling = Telling()
    telling.tell(bad(0))
    telling.tell(clear(1))
    telling.speak(100.0)
    due_s = 100.0 + LIFETIME_S / RENEWALS
    assert telling.deadline(LIFETIME_S) == due_s
    assert telling.renew(due_s - 0.1, LIFETIME_S, lambda name: None) == set()
    current = {(REVIEWS, place(0)): bad(0, external=50)}
    touched = telling.renew(due_s, LIFETIME_S, current.get)
    assert touched == {(REVIEWS, place(0)), (REVIEWS, place(1))}
    (said,) = telling.speak(due_s)
    page = decode_page(said.body, due_s)
    assert page is not None
    assert [row.external for row in page.rows] == [50], "the clear row is wanted no more"


def test_pages_are_renewed_before_gossip_drops_them_however_long_rows_may_live() -> None:
    telling = Telling()
    telling.tell(bad(0))
    telling.speak(100.0)
    assert telling.deadline(3600.0) == 100.0 + RENEWAL_S_MAX
    assert telling.deadline(3.0) == 101.0


def test_no_more_rows_are_said_than_others_take_and_accusations_go_first() -> None:
    telling = Telling()
    for number in range(ROWS_MAX):
        assert telling.tell(neutral(number))
    assert not telling.tell(clear(200))
    assert telling.tell(bad(201))
    assert len(telling.said) == ROWS_MAX
    assert telling.unsaid == 1
    full = Telling()
    for number in range(ROWS_MAX):
        full.tell(bad(number))
    assert not full.tell(bad(250))


@st.composite
def rows(draw: st.DrawFn) -> Row:
    host = HostName("h" * draw(st.sampled_from([5, 40, 120, 250])) + str(draw(st.integers(0, 9))))
    address = draw(st.sampled_from(["10.0.0.1", "2001:db8::1", "unix-" + "x" * 90]))
    port = draw(st.integers(0, 65535))
    one = draw(st.sampled_from([bad(), clear(), neutral()]))
    return replace(one, destination=Destination(host, 80), place=Place(address, port))


@settings(max_examples=40)
@given(st.lists(st.tuples(rows(), st.booleans()), max_size=120))
def test_every_page_fits_a_record_and_holds_what_is_said(steps: list[tuple[Row, bool]]) -> None:
    telling = Telling()
    heard: dict[int, bytes] = {}
    for now_s, (row, stays) in enumerate(steps):
        name = (row.destination, row.place)
        if stays:
            telling.tell(row)
        else:
            telling.withdraw(name)
        for say in telling.speak(float(now_s)):
            assert 0 <= say.page < PAGES_MAX
            assert len(say.body) <= RECORD_BODY_BYTES_MAX
            heard[say.page] = say.body
    found = set()
    for body in heard.values():
        page = decode_page(body, 0.0)
        assert page is not None
        assert page.refused == 0
        found |= {(row.destination, row.place) for row in page.rows}
    assert found == set(telling.said)


def test_what_is_news() -> None:
    said = bad(0, 10.0)
    assert not is_news(said, said, {})
    assert is_news(said, clear(0, 10.0), {})
    assert is_news(said, replace(said, generation=9), {})
    assert is_news(said, replace(said, accused_s=11.0), {})
    assert not is_news(said, replace(said, external=3), {})
    assert is_news(said, replace(said, external=4), {})


def test_a_success_is_news_where_it_is_later_than_failures_that_accuse() -> None:
    said, accusation = clear(0, 10.0), {"n1": bad(0, 13.0)}
    assert not is_news(said, replace(said, last_ok_s=11.0, ok=50), {})
    assert not is_news(said, replace(said, last_ok_s=11.0), accusation)
    assert is_news(said, replace(said, last_ok_s=12.5), accusation)
    assert not is_news(replace(said, last_ok_s=12.5), replace(said, last_ok_s=14.0), accusation)


def test_each_success_of_a_trial_is_news_up_to_the_third() -> None:
    said = neutral(0, ok_run=1)
    assert not is_news(said, replace(said, ok_run=2), {})
    assert is_news(said, replace(said, ok_run=2), {}, on_trial=True)
    assert not is_news(replace(said, ok_run=3), replace(said, ok_run=9), {}, on_trial=True)
