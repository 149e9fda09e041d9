from __future__ import annotations

from dataclasses import replace

from sidecar.outlier.evidence import ROWS_MAX, Evidence
from sidecar.outlier.model import Outcomes, RowClass
from sidecar.outlier.observer import Observer
from sidecar.outlier.voice import Voice
from tests.sidecar.outlier.builders import (
    FINE,
    FIVE_XX,
    RATINGS,
    REVIEWS,
    bad,
    facts,
    members,
    place,
)

NAME = (REVIEWS, place(0))


def host(endpoints: int = 4, size: int = 4) -> tuple[Voice, Observer, Evidence]:
    own, evidence = Observer(), Evidence()
    own.learn_facts({REVIEWS: facts(endpoints), RATINGS: facts()})
    voice = Voice("n0", own, evidence)
    voice.learn_observers(members(size))
    return voice, own, evidence


def test_an_accusation_is_said_and_counts_here_as_it_was_said() -> None:
    voice, own, evidence = host()
    own.count({NAME: FIVE_XX}, 0.5)
    assert voice.tell(NAME, 0.5)
    assert evidence.about(NAME)["n0"] == voice.said[NAME]
    own.count({NAME: Outcomes(external=1)}, 1.0)
    assert not voice.tell(NAME, 1.0), "half as many again are no news"
    assert evidence.about(NAME)["n0"].external == 2


def test_an_accusation_taken_back_is_withdrawn_at_once() -> None:
    voice, own, evidence = host()
    own.count({NAME: FIVE_XX}, 0.5)
    voice.tell(NAME, 0.5)
    own.count({NAME: FINE}, 1.0)
    assert voice.tell(NAME, 1.0)
    assert evidence.about(NAME) == {}
    assert [say.body for say in voice.speak(1.0)] == [b""]


def test_successes_are_said_only_where_others_accuse_and_until_they_do_no_more() -> None:
    voice, own, evidence = host()
    own.count({NAME: FINE}, 0.5)
    assert not voice.tell(NAME, 0.5)
    evidence.put("n1", bad(0, 0.4))
    assert voice.tell(NAME, 0.5)
    assert voice.said[NAME].row_class is RowClass.CLEAR
    voice.speak(0.5)
    evidence.remove("n1", NAME)
    assert not voice.tell(NAME, 1.0), "not worth a word of its own"
    assert voice.renew(6.0, 15.0) == {NAME}
    assert voice.said == {}
    assert evidence.about(NAME) == {}


def test_accusers_that_are_not_alive_are_not_worth_an_answer() -> None:
    voice, own, evidence = host()
    gone = members(4)
    gone["n1"] = replace(gone["n1"], counts=False)
    voice.learn_observers(gone)
    own.count({NAME: FINE}, 0.5)
    evidence.put("n1", bad(0, 0.4))
    assert not voice.tell(NAME, 0.5)


def test_the_sick_take_their_accusations_back_and_say_them_when_they_are_well() -> None:
    voice, own, _ = host()
    other = (RATINGS, place(0))
    own.count({NAME: FIVE_XX}, 0.5)
    voice.tell(NAME, 0.5)
    own.count({other: FIVE_XX}, 1.0)
    changed = voice.examine(1.0, ())
    assert voice.is_sick
    assert changed == {NAME, other}
    assert voice.tell(NAME, 1.0)
    assert voice.said == {}
    assert voice.examine(1.5, [other]) == {NAME, other}
    assert voice.tell(NAME, 1.5)


def test_a_row_that_makes_room_for_another_counts_here_no_more() -> None:
    voice, own, evidence = host(endpoints=ROWS_MAX + 1)
    own.count({(REVIEWS, place(1)): FINE}, 0.5)
    for number in range(ROWS_MAX):
        evidence.put("n1", bad(number, 0.4))
        assert voice.tell((REVIEWS, place(number)), 0.5)
    last = (REVIEWS, place(ROWS_MAX))
    own.count({last: FIVE_XX}, 1.0)
    assert voice.tell(last, 1.0)
    ours = {(REVIEWS, at) for at, about in evidence.of(REVIEWS).items() if "n0" in about}
    assert ours == set(voice.said)
    assert len(ours) == ROWS_MAX
