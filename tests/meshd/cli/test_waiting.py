from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshd.cli.session import Session
from meshd.cli.waiting import wait_in_force
from store.changes import Change, ChangeSet
from store.errors import AgentUnavailable
from store.history import Action
from tests.harness.fake_agent import FakeAgent, healthy_status, stale_socket

KEY = "ns/default/virtualservices/reviews"
CHANGES = ChangeSet((Change(KEY, Action.CREATED, None, b"{}"),), 11)


def _wait(run_dir: Path) -> int:
    return wait_in_force(Session({"run_dir": str(run_dir)}, {}), CHANGES, 12, 0.2)


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
    assert "0 of 1 sidecars" in said.err


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
