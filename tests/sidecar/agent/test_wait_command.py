"""`meshd-sidecar wait`: returns when a sidecar is ready, and says what it lacks when it is not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sidecar.agent import main, wait_command
from sidecar.agent.wait_command import PAUSE_S, NotReady, wait_ready
from store.errors import AgentUnavailable
from store.socket_http import SocketConnection
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


def waited(path: Path, hours: Hours, timeout_s: float = 5.0) -> None:
    wait_ready(path, timeout_s, now_s=hours.now_s, sleep=hours.sleep)


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
            "Envoy has yet to take revision 9 (updating)",
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


@pytest.mark.parametrize("answer", [(404, {"error": "no such page"}), (200, {"config": {}})])
def test_a_status_of_another_version_is_no_bug(
    agent: FakeAgent, answer: tuple[int, dict[str, object]]
) -> None:
    agent.answers["/v1/status"] = answer
    with pytest.raises(NotReady, match="of another version"):
        waited(agent.path, Hours())


def test_a_sidecar_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    late = FakeAgent(tmp_path, "vm-1")
    late.answers["/readyz"] = READY
    with ExitStack() as serving:
        hours = Hours(1.0, lambda: serving.enter_context(late.serving()))
        waited(late.path, hours)
    assert hours.passed_s == pytest.approx(1.0, abs=PAUSE_S)


def test_nobody_there_is_another_answer_than_not_ready(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="No such file"):
        waited(tmp_path / "vm-1" / "status.sock", Hours())
    stale_socket(tmp_path, "vm-2")
    with pytest.raises(AgentUnavailable, match=r"Connection refused.*--run-dir"):
        waited(tmp_path / "vm-2" / "status.sock", Hours())


def test_one_that_stopped_answering_was_there(tmp_path: Path) -> None:
    agent = FakeAgent(tmp_path, "vm-1")
    with ExitStack() as serving:
        serving.enter_context(agent.serving())
        agent.answers["/readyz"] = NOT_READY
        with pytest.raises(NotReady, match="stopped answering"):
            waited(agent.path, Hours(4.0, serving.close))


def test_where_we_may_not_ask_waiting_is_no_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(self: SocketConnection) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(SocketConnection, "connect", refused)
    hours = Hours()
    with pytest.raises(AgentUnavailable, match="as the user that runs the sidecar, or root"):
        waited(tmp_path / "vm-1" / "status.sock", hours)
    assert hours.passed_s == 0.0


@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b'"ready"', b""])
def test_what_is_no_sidecar_is_told_when_the_time_is_over(agent: FakeAgent, answer: bytes) -> None:
    agent.answers["/readyz"] = (200, answer)
    hours = Hours()
    with pytest.raises(AgentUnavailable, match="is no sidecar"):
        waited(agent.path, hours)
    assert hours.passed_s == pytest.approx(5.0)


def test_an_answer_that_is_cut_off_is_asked_for_again(agent: FakeAgent) -> None:
    agent.answers["/readyz"] = (200, b'{"ready": tr')
    hours = Hours(1.0, lambda: agent.answers.update({"/readyz": READY}))
    waited(agent.path, hours)
    assert hours.passed_s == pytest.approx(1.0, abs=PAUSE_S)


def test_a_sidecar_that_hangs_is_given_no_longer_than_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hours, given_s = Hours(), []

    class Hangs(SocketConnection):
        def __init__(self, path: Path, timeout_s: float) -> None:
            super().__init__(path, timeout_s)
            given_s.append(timeout_s)

        def connect(self) -> None:
            hours.passed_s += given_s[-1]
            raise TimeoutError("timed out")

    monkeypatch.setattr(wait_command, "SocketConnection", Hangs)
    with pytest.raises(AgentUnavailable, match="within 5 s: timed out"):
        waited(tmp_path / "status.sock", hours)
    assert given_s == [2.0, 2.0, pytest.approx(0.8)]
    assert hours.passed_s == pytest.approx(5.0)


@pytest.mark.parametrize(("answer", "timeout", "status"), [(READY, "30", 0), (NOT_READY, "1", 1)])
def test_the_command_takes_names_from_settings_and_exits_as_the_table_says(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    agent: FakeAgent,
    tmp_path: Path,
    answer: tuple[int, dict[str, bool]],
    timeout: str,
    status: int,
) -> None:
    agent.answers["/readyz"] = answer
    agent.answers["/v1/status"] = (200, healthy_status("vm-1"))
    config = tmp_path / "sidecar.toml"
    config.write_text(f'node = "vm-1"\nrun_dir = "{tmp_path}"\n')
    words = ["meshd-sidecar", "wait", "--config", str(config), "--timeout", timeout]
    monkeypatch.setattr("sys.argv", words)
    assert main.run_command() == status
    printed = capsys.readouterr()
    assert (printed.out == "vm-1 is ready\n") == (status == 0)
    assert ("meshd-sidecar: vm-1 is not ready: after 1 s" in printed.err) == (status == 1)
    monkeypatch.setattr("sys.argv", [*words[:-1], "0.1", "--node", "vm-9"])
    assert main.run_command() == 6
    assert "--node and --run-dir" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*words[:-1], "nan"])
    assert main.run_command() == 2
