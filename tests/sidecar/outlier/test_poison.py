from __future__ import annotations

from dataclasses import replace

from sidecar.outlier.evidence import Evidence
from sidecar.outlier.model import Observer, Row
from sidecar.outlier.poison import Suspects
from tests.sidecar.outlier.builders import REVIEWS, bad, clear, members, place

PATIENCE_S = 18.0


def judged(
    rows: dict[str, list[Row]], observers: dict[str, Observer] | None = None
) -> frozenset[str]:
    """Who is ignored when these rows are all there is."""
    evidence = Evidence()
    suspects = Suspects(evidence, lambda destination: PATIENCE_S)
    for node, found in rows.items():
        for row in found:
            evidence.put(node, row)
    names = {(row.destination, row.place) for found in rows.values() for row in found}
    assert suspects.judge(names, observers or members(10)) == suspects.ignored
    return suspects.ignored


def healthy(*endpoints: int, at_s: float = 10.0) -> list[Row]:
    return [clear(number, at_s) for number in endpoints]


def test_two_contradicted_accusations_by_two_others_each_make_a_suspect() -> None:
    lies = [bad(0, 9.0), bad(1, 9.0)]
    assert judged({"n1": lies, "n2": healthy(0, 1), "n3": healthy(0, 1)}) == {"n1"}


def test_one_contradicted_accusation_may_be_chance() -> None:
    assert not judged({"n1": [bad(0, 9.0)], "n2": healthy(0), "n3": healthy(0)})


def test_one_contradictor_may_be_wrong_itself() -> None:
    assert not judged({"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": healthy(0, 1)})


def test_two_contradictors_on_one_host_are_one() -> None:
    observers = members(4)
    observers["n3"] = replace(observers["n3"], address=observers["n2"].address)
    rows = {"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": healthy(0, 1), "n3": healthy(0, 1)}
    assert not judged(rows, observers)


def test_our_neighbour_on_the_same_host_does_not_contradict_us() -> None:
    observers = members(4)
    observers["n2"] = replace(observers["n2"], address=observers["n1"].address)
    rows = {"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": healthy(0, 1), "n3": healthy(0, 1)}
    assert not judged(rows, observers)


def test_an_observer_that_is_mostly_right_is_believed() -> None:
    says = [bad(number, 9.0) for number in range(5)]
    assert not judged({"n1": says, "n2": healthy(0, 1), "n3": healthy(0, 1)})
    assert judged({"n1": says[:4], "n2": healthy(0, 1), "n3": healthy(0, 1)}) == {"n1"}


def test_successes_before_its_failures_began_contradict_nothing() -> None:
    before = healthy(0, 1, at_s=8.0)
    assert not judged({"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": before, "n3": before})


def test_successes_of_a_trial_contradict_nothing() -> None:
    trial = [clear(number, 45.0, since_s=42.0) for number in (0, 1)]
    assert not judged({"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": trial, "n3": trial})
    always = [clear(number, 45.0, since_s=1.0) for number in (0, 1)]
    assert judged({"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": always, "n3": always}) == {"n1"}


def test_members_that_do_not_count_contradict_nobody() -> None:
    observers = members(4)
    observers["n3"] = replace(observers["n3"], counts=False)
    rows = {"n1": [bad(0, 9.0), bad(1, 9.0)], "n2": healthy(0, 1), "n3": healthy(0, 1)}
    assert not judged(rows, observers)


def test_who_takes_its_accusations_back_is_believed_again() -> None:
    evidence = Evidence()
    suspects = Suspects(evidence, lambda destination: PATIENCE_S)
    for number in (0, 1):
        evidence.put("n1", bad(number, 9.0))
        for node in ("n2", "n3"):
            evidence.put(node, clear(number, 10.0))
    names = {(REVIEWS, place(0)), (REVIEWS, place(1))}
    assert suspects.judge(names, members(4)) == {"n1"}
    assert suspects.accused() == names
    evidence.remove("n1", (REVIEWS, place(1)))
    assert suspects.judge({(REVIEWS, place(1))}, members(4)) == {"n1"}
    assert suspects.ignored == frozenset()
    assert suspects.accused() == {(REVIEWS, place(0))}


def test_an_accuser_that_is_no_member_is_judged_too() -> None:
    rows = {"stranger": [bad(0, 9.0), bad(1, 9.0)], "n2": healthy(0, 1), "n3": healthy(0, 1)}
    assert judged(rows) == {"stranger"}
