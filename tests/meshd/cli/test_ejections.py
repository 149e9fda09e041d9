"""`meshd ejections`: the whole story of a failing endpoint, and an operator's word on it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshd.cli import exits
from meshd.cli.ejections_rows import endpoint_cells, override_line, witness_lines
from sidecar.outlier.view import Reason
from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent, mesh_answer

WITNESS = {
    "node": "a",
    "class": "bad",
    "ok": 0,
    "external": 4,
    "gateway": 1,
    "local": 0,
    "first_failure_s": 10.0,
    "accused_s": 9.0,
    "last_ok_s": None,
    "ignored": None,
}
ENDPOINT: dict[str, Any] = {
    "destination": "reviews.default.svc.cluster.local:9080",
    "endpoint": "10.0.0.7:8080",
    "state": "ejected",
    "reason": "quorum",
    "detail": "2 of 3 observers",
    "since_s": 8.0,
    "until_s": 22.0,
    "level": 1,
    "accusing": 2,
    "opposing": 0,
    "quorum": 2,
    "users": 3,
    "trying": [],
    "imposed": "ejected",
    "locally_ejected": True,
    "witnesses": [WITNESS, {**WITNESS, "node": "b", "ignored": "contradicted", "last_ok_s": 1.0}],
}
PIN = {
    "node": "a",
    "kind": "pin",
    "destination": "ratings.default:80",
    "endpoint": "10.0.0.8:80",
    "since_s": 60.0,
    "until_s": 540.0,
    "reason": "load test",
}


def answer(*endpoints: dict[str, Any], **fields: Any) -> tuple[int, dict[str, Any]]:
    on = {"state": "on", "reason": ""}
    rest = {"self_sick": False, "ignored_observers": [], "overrides": []}
    return 200, {
        "node": "near",
        "gossip": on,
        "state": "on",
        "endpoints": list(endpoints),
        **rest,
        **fields,
    }


def test_an_ejection_is_told_with_who_and_why_and_until_when(
    machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/ejections"] = answer(ENDPOINT)
    ran = machine("ejections")
    assert ran.status == exits.OK
    header, row = (line.split("   ") for line in ran.out.splitlines())
    assert [cell.strip() for cell in header if cell] == [
        *("DESTINATION", "ENDPOINT", "STATE", "SINCE", "UNTIL", "OBSERVERS", "WHY")
    ]
    assert [cell.strip() for cell in row if cell] == [
        "reviews.default.svc.cluster.local:9080",
        "10.0.0.7:8080",
        "ejected, local",
        "8s ago",
        "in 22s",
        "2 of 3, 2 needed",
        "enough accuse it (2 of 3 observers)",
    ]


def test_wide_adds_what_each_observer_counted_and_when(
    machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/ejections"] = answer({**ENDPOINT, "trying": ["c"]})
    out = machine("ejections", "-o", "wide").out
    assert "tried by c" in out
    assert (
        "a  bad  4 5xx, 1 gateway errors, 0 unanswered, 0 ok; failing since 10s ago; accused 9s ago\n"
        in out
    )
    assert "last ok 1s ago [does not count: who accuses it also accuses" in out


def test_why_not_is_told_as_well(machine: CommandLine, near: FakeAgent) -> None:
    withheld = {
        **ENDPOINT,
        "state": "withheld",
        "accusing": 1,
        "opposing": 1,
        "detail": "1 of 2",
        "until_s": None,
        "locally_ejected": False,
    }
    near.answers["/v1/ejections"] = answer(withheld)
    out = machine("ejections").out
    assert "1 of 3, 1 against, 2 needed" in out
    assert "too few accuse it (1 of 2)" in out


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words_for_people(reason: Reason) -> None:
    words = endpoint_cells({**ENDPOINT, "reason": reason.value, "detail": ""})[-1]
    assert words
    assert "_" not in words


def test_what_only_this_hosts_envoy_ejected_is_told_as_its_own() -> None:
    local = {**ENDPOINT, "state": None, "reason": None, "detail": "", "users": 0, "witnesses": []}
    cells = endpoint_cells(local)
    assert cells[2] == "local"
    assert cells[5:] == ["", "this host's own Envoy ejected it"]
    assert list(witness_lines(local)) == ["nobody accuses it"]


def test_later_levels_are_told() -> None:
    assert endpoint_cells({**ENDPOINT, "level": 3})[-1].endswith("(2 of 3 observers; level 3)")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("reviews", 1), ("reviews:9080", 1), ("reviews:80", 0), ("review", 0), ("", 1)],
)
def test_one_destination_can_be_asked_for(
    wanted: str, count: int, machine: CommandLine, near: FakeAgent
) -> None:
    near.answers["/v1/ejections"] = answer(ENDPOINT)
    found = json.loads(machine("ejections", "-d", wanted, "-o", "json").out)
    assert len(found["endpoints"]) == count


def test_where_nothing_is_ejected_it_says_so(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/ejections"] = answer()
    ran = machine("ejections")
    assert (ran.status, ran.out) == (exits.OK, "")
    assert ran.err == "no endpoint is accused or ejected\n"


def test_overrides_and_sick_observers_are_told(machine: CommandLine, near: FakeAgent) -> None:
    near.answers["/v1/ejections"] = answer(
        overrides=[PIN], self_sick=True, ignored_observers=["x", "y"]
    )
    ran = machine("ejections")
    assert (
        ran.out == "pin ratings.default:80 10.0.0.8:80 for 9m more, said on a 1m ago: load test\n"
    )
    assert "takes itself for sick" in ran.err
    assert "x, y" in ran.err


def test_a_pause_of_everything_is_told_as_that() -> None:
    told = override_line({**PIN, "kind": "pause", "destination": None, "endpoint": None})
    assert told.startswith("pause everything for 9m more")


def test_with_gossip_off_each_envoy_decides_and_1(machine: CommandLine, near: FakeAgent) -> None:
    off = {"state": "off", "reason": "there is no key"}
    near.answers["/v1/ejections"] = answer(gossip=off, state="off")
    ran = machine("ejections")
    assert ran.status == exits.NO
    assert "each Envoy decides for itself" in ran.err


@pytest.fixture
def speaking(near: FakeAgent) -> FakeAgent:
    """The sidecar gossips and takes words of operators."""
    near.answers["/v1/mesh"] = (200, mesh_answer("near"))
    for kind in ("clear", "pin", "pause"):
        near.answers[f"/v1/ejections/{kind}"] = (
            200,
            {
                "node": "near",
                "kind": kind,
                "destination": "reviews.default.svc.cluster.local:9080",
                "endpoint": "10.0.0.7:8080",
                "for_s": 600.0,
            },
        )
    return near


WHERE = ("reviews:9080", "10.0.0.7:8080")


@pytest.mark.parametrize(
    ("words", "path", "body", "told"),
    [
        (
            ("clear", *WHERE, "--reason", "fixed"),
            "clear",
            {"destination": WHERE[0], "endpoint": WHERE[1], "reason": "fixed"},
            "cleared reviews.default.svc.cluster.local:9080 10.0.0.7:8080; near tells the mesh",
        ),
        (
            ("pin", *WHERE, "--for", "30m"),
            "pin",
            {"destination": WHERE[0], "endpoint": WHERE[1], "for": "30m"},
            "pinned reviews.default.svc.cluster.local:9080 10.0.0.7:8080 for 10m; near",
        ),
        (
            ("pin", *WHERE, "--take-back"),
            "pin",
            {"destination": WHERE[0], "endpoint": WHERE[1], "take_back": True},
            "pinned",
        ),
        (("pause", WHERE[0]), "pause", {"destination": WHERE[0]}, "paused"),
        (("pause", "--yes"), "pause", {}, "paused"),
        (("pause", "--take-back"), "pause", {"take_back": True}, "paused"),
        (("clear", WHERE[0], "--yes"), "clear", {"destination": WHERE[0]}, "cleared"),
    ],
)
def test_an_operators_word_is_told_through_a_sidecar(
    words: tuple[str, ...],
    path: str,
    body: dict[str, Any],
    told: str,
    machine: CommandLine,
    speaking: FakeAgent,
) -> None:
    ran = machine("ejections", *words)
    assert ran.status == exits.OK, ran.text()
    assert speaking.asked[-1] == f"POST /v1/ejections/{path}"
    assert speaking.bodies == [body]
    assert told in ran.out


@pytest.mark.parametrize("words", [("pause",), ("clear", "reviews:9080")])
def test_what_is_wide_is_asked_about_first(
    words: tuple[str, ...], machine: CommandLine, speaking: FakeAgent
) -> None:
    ran = machine("ejections", *words)
    assert ran.status == exits.USAGE
    assert "say --yes" in ran.err
    assert speaking.bodies == []


def test_what_is_taken_back_is_said_so(machine: CommandLine, speaking: FakeAgent) -> None:
    taken = {"node": "near", "kind": "pin", "destination": "r:80", "endpoint": None, "for_s": 0.0}
    speaking.answers["/v1/ejections/pin"] = (200, taken)
    assert machine("ejections", "pin", *WHERE, "--take-back").out == (
        "pin of r:80 taken back; near tells the mesh\n"
    )


def test_refusals_come_with_the_sidecars_words(machine: CommandLine, speaking: FakeAgent) -> None:
    speaking.answers["/v1/ejections/pin"] = (400, {"error": "for: too long", "hint": "Less"})
    ran = machine("ejections", "pin", *WHERE)
    assert ran.status == exits.INVALID
    assert "near: for: too long" in ran.err


def test_where_nobody_gossips_nothing_can_be_told(machine: CommandLine, near: FakeAgent) -> None:
    ran = machine("ejections", "pin", *WHERE)
    assert ran.status == exits.CONFLICT
    assert "nobody here can tell the mesh: near: " in ran.err
