"""`meshd-sidecar wait`: returns when a sidecar is ready, and says what it lacks when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.agent import main
from sidecar.agent.wait_command import PAUSE_S, NotReady, wait_ready
from store.errors import AgentUnavailable, PeerError
from tests.harness.fake_agent import FakeAgent, healthy_status, stale_socket

NOT_READY = (503, {"ready": False})
READY = (200, {"ready": True})


class Hours:
    """Time that passes by sleeping alone; `then` happens when a moment has come."""

    def __init__(self, at_s: float = 0.0, then: Callable[[], object] = lambda: None) -> None:
        self.passed_s = 0.0
        self._at_s, self._then = at_s, then

    def now_s(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds
        if 0.0 < self._at_s <= self.passed_s:
            self._at_s = 0.0
            self._then()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path, "vm-1").serving() as agent:
        agent.answers["/readyz"] = NOT_READY
        yield agent


def waited(socket: Path, hours: Hours, timeout_s: float = 5.0) -> None:
    wait_ready(socket, timeout_s, now_s=hours.now_s, sleep=hours.sleep)


def test_it_returns_as_soon_as_the_sidecar_is_ready(agent: FakeAgent) -> None:
    hours = Hours(2.0, lambda: agent.answers.update({"/readyz": READY}))
    waited(agent.path, hours)
    assert hours.passed_s == pytest.approx(2.0, abs=PAUSE_S)


def test_it_asks_once_where_it_is_ready_already(agent: FakeAgent) -> None:
    agent.answers["/readyz"] = READY
    hours = Hours()
    waited(agent.path, hours)
    assert hours.passed_s == 0.0


@pytest.mark.parametrize(
    ("config", "store", "envoy", "told"),
    [
        (
            {"source": "none"},
            {"state": "backoff", "error": "etcd http://a:1: cannot be reached"},
            {},
            "no configuration, from disk, peers or etcd (backoff: etcd http://a:1: cannot be reached)",
        ),
        (
            {"source": "none"},
            {"state": "reading", "error": ""},
            {},
            "no configuration, from disk, peers or etcd (reading)",
        ),
        (
            {"source": "etcd"},
            {},
            {"connected": False, "state": "starting"},
            "its Envoy is not connected (starting)",
        ),
        (
            {"source": "etcd", "revision_received": 9, "state": "updating"},
            {},
            {"connected": True},
            "revision 9 is not in force in Envoy (updating)",
        ),
    ],
)
def test_what_it_lacks_is_told(
    agent: FakeAgent,
    config: dict[str, object],
    store: dict[str, object],
    envoy: dict[str, object],
    told: str,
) -> None:
    agent.answers["/v1/status"] = (200, {"config": config, "store": store, "envoy": envoy})
    hours = Hours()
    with pytest.raises(NotReady) as problem:
        waited(agent.path, hours)
    assert told in str(problem.value)
    assert "after 5 s" in str(problem.value)
    assert hours.passed_s == pytest.approx(5.0)


def test_a_sidecar_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    late = FakeAgent(tmp_path, "vm-1")
    late.answers["/readyz"] = READY
    serving = late.serving()
    hours = Hours(1.0, serving.__enter__)
    waited(late.path, hours)
    serving.__exit__(None, None, None)
    assert hours.passed_s == pytest.approx(1.0, abs=PAUSE_S)


def test_nobody_there_is_another_answer_than_not_ready(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="No such file"):
        waited(tmp_path / "vm-1" / "status.sock", Hours())
    stale_socket(tmp_path, "vm-2")
    with pytest.raises(AgentUnavailable, match=r"Connection refused.*--run-dir"):
        waited(tmp_path / "vm-2" / "status.sock", Hours())


@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b'"ready"'])
def test_what_is_no_sidecar_is_told_at_once(agent: FakeAgent, answer: bytes) -> None:
    agent.answers["/readyz"] = (200, answer)
    hours = Hours()
    with pytest.raises(PeerError, match="is no sidecar"):
        waited(agent.path, hours)
    assert hours.passed_s == 0.0


@pytest.mark.parametrize(("answer", "status"), [(READY, 0), (NOT_READY, 1)])
def test_the_command_takes_names_from_settings_and_exits_as_the_table_says(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    agent: FakeAgent,
    tmp_path: Path,
    answer: tuple[int, dict[str, bool]],
    status: int,
) -> None:
    agent.answers["/readyz"] = answer
    agent.answers["/v1/status"] = (200, healthy_status("vm-1"))
    config = tmp_path / "sidecar.toml"
    config.write_text(f'node = "vm-1"\nrun_dir = "{tmp_path}"\n')
    words = ["meshd-sidecar", "wait", "--config", str(config), "--timeout", "0.01"]
    monkeypatch.setattr("sys.argv", words)
    assert main.run_command() == status
    printed = capsys.readouterr()
    assert (printed.out == "vm-1 is ready\n") == (status == 0)
    assert ("meshd-sidecar: vm-1 is not ready: after 0.01 s" in printed.err) == (status == 1)
    monkeypatch.setattr("sys.argv", [*words, "--node", "vm-9"])
    assert main.run_command() == 6
    assert "--node and --run-dir" in capsys.readouterr().err
