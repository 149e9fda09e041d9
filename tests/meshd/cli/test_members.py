"""Other hosts judged by what gossip tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from meshd.cli.members import alarms_of, members_of, state_of
from meshd.cli.troubles import Severity, worst_first
from tests.harness.fake_agent import mesh_answer


def mesh(**fields: Any) -> dict[str, Any]:
    """A mesh in which `far` is as the fields say."""
    answer = mesh_answer("near", "far")
    answer["members"][1] |= fields
    return answer


def test_a_host_with_which_all_is_well_has_no_trouble() -> None:
    (member,) = members_of(mesh())
    assert member.is_well
    assert member.troubles == ()
    assert member.cells(12) == [
        *("far", "in-force", "12", "12", "0", "current", "store", "-", "0", "0", "12s ago")
    ]
    assert member.as_json()["told"]["in_force"] == 12


@pytest.mark.parametrize(
    ("fields", "severity", "text"),
    [
        ({"status": "dead", "since_s": 90.0}, Severity.GONE, "held dead for 1m 30s"),
        ({"status": "suspect", "since_s": 2.0}, Severity.DEGRADED, "does not answer for 2s"),
        ({"heard": False}, Severity.DEGRADED, "nothing was heard"),
        ({"sync": "held"}, Severity.DEGRADED, "holds off another etcd"),
        ({"sync": "stale"}, Severity.DEGRADED, "does not hear etcd"),
        ({"cluster": "def"}, Severity.DEGRADED, "follows etcd def, most hosts follow abc"),
        ({"in_force": 0}, Severity.BROKEN, "nothing is in force"),
        ({"in_force": 11}, Severity.DEGRADED, "does not have the newest revision"),
        ({"in_force": 11, "received": 11}, Severity.NOTE, "the newest known is 12"),
        ({"quarantined": 2}, Severity.DEGRADED, "2 objects are quarantined there"),
        ({"rejected": 1}, Severity.DEGRADED, "its Envoy refuses 1 resources"),
    ],
    ids=str,
)
def test_each_trouble_is_seen_and_said(
    fields: dict[str, Any], severity: Severity, text: str
) -> None:
    (member,) = members_of(mesh(**fields))
    (trouble,) = member.troubles
    assert trouble.severity is severity
    assert text in trouble.text


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "in-force"),
        ({"status": "dead"}, "dead"),
        ({"status": "suspect"}, "suspect"),
        ({"heard": False}, "silent"),
        ({"sync": "held"}, "held"),
        ({"sync": "stale"}, "stale"),
        ({"in_force": 11}, "updating"),
        ({"in_force": 0}, "updating"),
        ({"in_force": 0, "received": 0}, "none"),
    ],
    ids=str,
)
def test_its_state_is_one_word(fields: dict[str, Any], state: str) -> None:
    assert state_of(mesh(**fields)["members"][1]) == state


def test_nothing_is_current_of_one_that_is_down() -> None:
    (member,) = members_of(mesh(status="dead"))
    assert member.cells(12)[5:7] == ["-", "-"]


def test_who_said_goodbye_is_no_host_any_more() -> None:
    assert members_of(mesh(status="left")) == []


def test_one_of_which_nothing_was_heard_has_a_row_all_the_same() -> None:
    (member,) = members_of(mesh(heard=False, told_s=None))
    cells = member.cells(12)
    assert (cells[1], cells[-1], len(cells)) == ("silent", "never", 11)


def test_different_content_is_the_trouble_of_all_who_claim_it_this_host_too() -> None:
    answer = mesh()
    answer["alarms"] = [
        {"kind": "hashes-differ", "revision": 9, "claims": {"0" * 32: ["near"], "f" * 32: ["far"]}}
    ]
    found = alarms_of(answer)
    assert set(found) == {"near", "far"}
    (trouble,) = found["near"]
    assert trouble.severity is Severity.BROKEN
    assert "revision 9" in trouble.text
    assert "000000000000: near; ffffffffffff: far" in trouble.details[0]
    (member,) = members_of(answer)
    assert not member.is_well


def test_the_worst_come_first() -> None:
    answer = mesh_answer("near", "a", "b", "c")
    answer["members"][3]["status"] = "dead"
    answer["members"][2]["in_force"] = 11
    assert [one.node for one in worst_first(members_of(answer))] == ["c", "b", "a"]


@pytest.mark.parametrize("answer", [{}, {"members": None}, {"members": [{}]}])
def test_an_answer_of_another_version_is_read_as_far_as_it_goes(answer: dict[str, Any]) -> None:
    for member in members_of(answer):
        assert not member.is_well
        assert len(member.cells()) == 11
