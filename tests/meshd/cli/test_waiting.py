from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from meshd.cli.session import Session
from meshd.cli.waiting import SHOWN_MAX, Target, wait_in_force
from sidecar.standing.model import mark_of
from store.changes import Change, ChangeSet
from store.errors import AgentUnavailable
from store.history import Action
from tests.harness.fake_agent import FakeAgent, healthy_status, mesh_answer, stale_socket

KEY = "ns/default/virtualservices/reviews"
CHANGES = ChangeSet((Change(KEY, Action.CREATED, None, b"{}"),), 11)


def _wait(run_dir: Path) -> int:
    return wait_in_force(
        Session({"run_dir": str(run_dir)}, {}), CHANGES, Target(12, 0xABC, KEY), 0.2
    )


def _quarantine(key: str) -> dict[str, Any]:
    problem = {"code": "MESH0402", "path": "", "message": "Envoy refused it"}
    return {"object": "VirtualService/default/reviews", "key": key, "diagnostics": [problem]}


def test_every_sidecar_is_named_with_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes = [FakeAgent(tmp_path, name) for name in ("a", "bb")]
    for fake in fakes:
        fake.answers["/v1/in-force"] = (200, {"revision_in_force": 12, "quarantined": []})
    with fakes[0].serving(), fakes[1].serving():
        assert _wait(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ms")[0].rsplit(" ", 1)[0] for line in lines] == [
        "a   in force after",
        "bb  in force after",
    ]


@pytest.mark.parametrize(
    ("part", "fields", "text"),
    [
        ("config", {"revision_received": 9, "revision_in_force": 9}, "received 9, store watching"),
        ("envoy", {"connected": False}, "Envoy is not connected (running)"),
        ("config", {"held": {"reason": "another etcd"}}, "held: another etcd"),
    ],
)
def test_one_that_lags_is_named_with_its_reason(
    part: str,
    fields: dict[str, Any],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    status = healthy_status("vm-1")
    status[part] = {**status[part], **fields}
    fake.answers["/v1/in-force"] = (408, status)
    with fake.serving():
        assert _wait(tmp_path) == 1
    said = capsys.readouterr()
    assert said.out.startswith("vm-1  lags: has revision")
    assert text in said.out
    assert "0 of 1 hosts" in said.err


def test_an_object_that_a_sidecar_quarantines_is_not_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/in-force"] = (200, {"quarantined": [_quarantine(KEY)]})
    with fake.serving():
        assert _wait(tmp_path) == 1
    assert "MESH0402 Envoy refused it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("VirtualService/default/reviews@3 spec.http[0]", 1),
        ("VirtualService/default/reviews-old@3 spec.http[0]", 0),
    ],
)
def test_what_envoy_refuses_of_a_written_object_is_not_in_force(
    source: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    refused = {
        "type": "Listener",
        "name": "0.0.0.0_80",
        "detail": "port taken",
        "sources": [source],
    }
    fake.answers["/v1/in-force"] = (200, {"quarantined": [], "rejected": [refused]})
    with fake.serving():
        assert _wait(tmp_path) == status
    assert ("0.0.0.0_80: port taken" in capsys.readouterr().out) == bool(status)


def test_another_quarantined_object_is_not_this_changes_fault(tmp_path: Path) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/in-force"] = (200, {"quarantined": [_quarantine("ns/a/gateways/b")]})
    with fake.serving():
        assert _wait(tmp_path) == 0


def test_a_sidecar_that_is_gone_lags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale_socket(tmp_path, "vm-1")
    assert _wait(tmp_path) == 1
    assert "cannot be asked" in capsys.readouterr().out


def test_without_any_sidecar_the_wait_says_that_the_write_is_done(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="written at revision 12, but no sidecar"):
        _wait(tmp_path)


ROW: dict[str, Any] = {
    "node": "far",
    "own": False,
    "state": "in-force",
    "heard": True,
    "in_force": 12,
    "received": 12,
    "sync": "store",
    "told_s": 4.0,
    "withheld": [],
}


def _mesh_wait(status: int, *rows: dict[str, Any]) -> Any:
    """The answers of a sidecar that speaks for the mesh: its own, and of the rows."""

    def answer(query: str) -> tuple[int, dict[str, Any]]:
        if parse_qs(query).get("scope") != ["mesh"]:
            return 200, {"revision_in_force": 12, "quarantined": []}
        own = {**ROW, "node": "a", "own": True}
        good = sum(row["state"] == "in-force" for row in rows) + 1
        document = {"scope": "mesh", "in_force": good, "waited_for": len(rows) + 1}
        return status, {**document, "members": [own, *rows]}

    return answer


def _speaker(run_dir: Path, status: int, *rows: dict[str, Any]) -> FakeAgent:
    fake = FakeAgent(run_dir, "a")
    fake.answers["/v1/mesh"] = (200, mesh_answer("a", "far"))
    fake.answers["/v1/in-force"] = _mesh_wait(status, *rows)
    return fake


def test_one_sidecar_that_gossips_speaks_for_every_other_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = _speaker(tmp_path, 200, ROW)
    with fake.serving():
        assert _wait(tmp_path) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["a", "far"]
    assert said.out.splitlines()[1] == "far  in force"
    assert said.err == ""
    waits = [line for line in fake.asked if "in-force" in line]
    assert all("cluster=abc&written=ns%2Fdefault%2Fvirtualservices" in line for line in waits)
    assert sum("scope=mesh" in line for line in waits) == 1


def test_several_sidecars_here_are_asked_themselves_and_one_of_them_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, other = _speaker(tmp_path, 200, ROW, {**ROW, "node": "b"}), FakeAgent(tmp_path, "b")
    other.answers["/v1/in-force"] = (200, {"revision_in_force": 12})
    other.answers["/v1/mesh"] = (200, mesh_answer("b"))
    with fake.serving(), other.serving():
        assert _wait(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a", "b", "far"]
    assert "after" in lines[1]
    assert not any("scope=mesh" in line for line in other.asked), "it sees fewer members"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("behind", "has not received it; has revision 9 in force"),
        ("applying", "its Envoy does not have all of it yet"),
        ("held", "holds off the etcd"),
        ("other-store", "follows another etcd"),
        ("differs", "another content"),
        ("silent", "nothing was heard"),
        ("of-a-later-version", "lags: of-a-later-version"),
    ],
)
def test_another_host_that_lags_is_named_with_its_reason(
    state: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {**ROW, "state": state, "in_force": 9, "received": 9}
    with _speaker(tmp_path, 408, row).serving():
        assert _wait(tmp_path) == 1
    said = capsys.readouterr()
    assert text in said.out
    assert "told 4s ago" in said.out
    assert "1 of 2 hosts" in said.err


def test_one_that_died_meanwhile_is_named_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _speaker(tmp_path, 200, {**ROW, "state": "gone"}).serving():
        assert _wait(tmp_path) == 0
    assert "far  gone: it died or left" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "status"), [(KEY, 1), ("ns/a/gateways/b", 0)])
def test_what_another_host_withholds_of_the_change_is_named(
    key: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _speaker(tmp_path, 200, {**ROW, "withheld": [mark_of(key)]}).serving():
        assert _wait(tmp_path) == status
    said = capsys.readouterr().out
    assert ("VirtualService/default/reviews" in said) == bool(status)


def test_many_hosts_with_which_all_is_well_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**ROW, "node": f"n{number}"} for number in range(SHOWN_MAX + 5)]
    with _speaker(tmp_path, 200, *rows).serving():
        assert _wait(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "and 5 more hosts  in force"
    assert len(lines) == 1 + SHOWN_MAX + 1


def test_where_gossip_is_off_the_wait_is_for_this_machine_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeAgent(tmp_path, "vm-1")
    fake.answers["/v1/in-force"] = (200, {"revision_in_force": 12})
    fake.answers["/v1/mesh"] = (200, {"gossip": {"state": "off", "reason": "there is no key"}})
    with fake.serving():
        assert _wait(tmp_path) == 0
    said = capsys.readouterr()
    assert "vm-1  in force after" in said.out
    assert "not the whole mesh: vm-1: gossip is off there (there is no key)" in said.err


def test_when_the_one_that_speaks_goes_away_another_takes_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, heir = FakeAgent(tmp_path, "a"), FakeAgent(tmp_path, "b")
    first.answers["/v1/mesh"] = (200, mesh_answer("a", "far", "b"))

    def hang_up(query: str) -> tuple[int, dict[str, Any]]:
        if "scope=mesh" in query:
            raise ConnectionAbortedError
        return 200, {"revision_in_force": 12}

    first.answers["/v1/in-force"] = hang_up
    heir.answers["/v1/mesh"] = (200, mesh_answer("b", "far"))
    heir.answers["/v1/in-force"] = _mesh_wait(200, ROW)
    with first.serving(), heir.serving():
        assert _wait(tmp_path) == 0
    said = capsys.readouterr()
    assert "far  in force" in said.out
    assert "not known" not in said.err


def test_when_nobody_can_speak_any_more_the_rest_is_unknown_and_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeAgent(tmp_path, "a")
    fake.answers["/v1/in-force"] = _mesh_wait(503)
    fake.answers["/v1/mesh"] = (200, mesh_answer("a"))
    with fake.serving():
        assert _wait(tmp_path) == 1
    assert "of the rest of the mesh is not known" in capsys.readouterr().err


def test_on_a_terminal_the_progress_is_counted_and_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd.cli.console._is_terminal", lambda _: True)
    fake = _speaker(tmp_path, 200, ROW)
    waits: list[str] = []

    def answer(query: str) -> tuple[int, dict[str, Any]]:
        if "scope=mesh" in query:
            waits.append(query)
            if len(waits) == 1:
                status, document = _mesh_wait(408, {**ROW, "state": "behind"})(query)
                return status, document
        status, document = _mesh_wait(200, ROW)(query)
        return status, document

    fake.answers["/v1/in-force"] = answer
    with fake.serving():
        assert (
            wait_in_force(
                Session({"run_dir": str(tmp_path)}, {}), CHANGES, Target(12, 0xABC, KEY), 30.0
            )
            == 0
        )
    said = capsys.readouterr()
    assert len(waits) == 2
    assert "timeout_s=0.5" in waits[0], "somebody watches: short questions"
    first, second = said.err.index("hosts in force 1/2"), said.err.index("hosts in force 2/2")
    assert first < second
    assert said.err.endswith("\r\x1b[2K")
    assert "hosts in force" not in said.out
