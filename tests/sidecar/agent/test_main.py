"""The command `meshd-sidecar`: flags, files and exit status."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.agent import daemon, ending, main
from sidecar.agent.settings import SidecarSettings
from store.errors import EXIT_OUT_OF_MEMORY, InputError, StoreUnavailable


class Runs:
    """Stands in for the daemon: notes what it was to run, and ends as told."""

    def __init__(self) -> None:
        self.outcome: int | Exception = 0
        self.settings: list[SidecarSettings] = []
        self.apps: list[tuple[str, ...]] = []

    def __call__(self, settings: SidecarSettings, app: Sequence[str] = ()) -> int:
        self.settings.append(settings)
        self.apps.append(tuple(app))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    runs = Runs()
    monkeypatch.setattr(daemon, "run_daemon", runs)
    monkeypatch.setattr(main, "DEFAULT_CONFIG", tmp_path / "absent.toml")
    monkeypatch.setattr(
        threading, "excepthook", threading.excepthook
    )  # put back, as `run` sets them
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    return runs


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit status of `meshd-sidecar WORDS...`."""
    monkeypatch.setattr("sys.argv", ["meshd-sidecar", *words])
    return main.run_command()


def test_flags_make_a_workload_and_what_follows_is_the_application(
    monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    words = "run --node h1 --etcd http://a:1,http://b:2 -n shop -l version=v1 -l tier=gold"
    words += " --service reviews --port 9080 --app-port 8080 --protocol grpc --address 10.0.0.1"
    words += " --outbound-port 16001 --run-dir /r --data-dir /d -- ./app --port 1 -l x"
    assert call(monkeypatch, *words.split()) == 0
    (settings,) = runs.settings
    assert runs.apps == [("./app", "--port", "1", "-l", "x")]
    assert (settings.node, settings.namespace, settings.address) == ("h1", "shop", "10.0.0.1")
    assert settings.labels == {"version": "v1", "tier": "gold"}
    assert settings.etcd.endpoints == ("http://a:1", "http://b:2")
    assert (settings.outbound_port, str(settings.run_dir), str(settings.data_dir)) == (
        16001,
        "/r",
        "/d",
    )
    (workload,) = settings.workloads
    (port,) = workload.ports
    assert workload.service == "reviews"
    assert (port.number, port.app_port, port.protocol) == (9080, 8080, "grpc")


def test_a_file_is_read_and_flags_win(
    monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text('node = "file"\nnamespace = "file"\n')
    assert call(monkeypatch, "run", "--config", str(config), "--node", "flag") == 0
    assert call(monkeypatch, "--config", str(config), "run") == 0
    first, second = runs.settings
    assert (first.node, first.namespace, second.node) == ("flag", "file", "file")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run", "--service", "reviews"), "--service and --port go together"),
        (("run", "--port", "9080"), "--service and --port go together"),
        (("run", "--app-port", "9080"), "--app-port and --protocol need"),
        (("run", "-l", "version"), "is not KEY=VALUE"),
        (("run", "--node", "a/b"), "cannot be a node id"),
        (("run", "--config", "/nowhere/x.toml"), "/nowhere/x.toml"),
    ],
)
def test_wrong_input_exits_3_and_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    complaint: str,
) -> None:
    assert call(monkeypatch, *words) == 3
    assert complaint in capsys.readouterr().err
    assert not runs.settings


@pytest.mark.parametrize("words", [(), ("run", "--colour"), ("run", "--port", "0"), ("rum",)])
def test_wrong_usage_exits_2(
    monkeypatch: pytest.MonkeyPatch, runs: Runs, words: tuple[str, ...]
) -> None:
    assert call(monkeypatch, *words) == 2
    assert not runs.settings


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (0, 0),
        (7, 7),
        (143, 143),
        (InputError("no"), 3),
        (StoreUnavailable("no"), 6),
        (KeyError("a bug"), 70),
        (ExceptionGroup("tasks", [KeyError("a bug")]), 70),
        (OSError(28, "no space"), 70),
    ],
)
def test_the_exit_status_is_the_daemons_or_says_whose_fault_it_was(
    monkeypatch: pytest.MonkeyPatch,
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    outcome: int | Exception,
    status: int,
) -> None:
    runs.outcome = outcome
    assert call(monkeypatch, "run") == status
    errors = capsys.readouterr().err
    assert ("Traceback" in errors) == (status == 70)


def test_show_config_and_check_config_start_nothing(
    monkeypatch: pytest.MonkeyPatch,
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text('node = "h7"\n')
    assert call(monkeypatch, "--config", str(config), "--show-config") == 0
    assert 'node = "h7"' in capsys.readouterr().out
    assert call(monkeypatch, "--config", str(config), "--check-config") == 0
    config.write_text("nodule = 1\n")
    assert call(monkeypatch, "--config", str(config), "--check-config") == 3
    assert "nodule" in capsys.readouterr().err
    assert not runs.settings


def of_cause(problem: Exception, cause: Exception) -> Exception:
    """`problem`, raised from `cause`."""
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        SystemError("error return without exception set"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ExceptionGroup("tasks", [ValueError("cut short"), ExceptionGroup("", [MemoryError()])]),
        of_cause(RuntimeError("a library's own"), MemoryError()),
    ],
)
def test_want_of_memory_is_said_and_is_not_a_bug(
    monkeypatch: pytest.MonkeyPatch,
    runs: Runs,
    capfd: pytest.CaptureFixture[str],
    problem: Exception,
) -> None:
    runs.outcome = problem
    assert call(monkeypatch, "run") == EXIT_OUT_OF_MEMORY
    told = capfd.readouterr().err
    assert "raise the limits" in told
    assert "bug" not in told


def test_a_bug_ends_it_with_its_trace(
    monkeypatch: pytest.MonkeyPatch, runs: Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    runs.outcome = ZeroDivisionError("oops")
    assert call(monkeypatch, "run") == 70
    told = capfd.readouterr().err
    assert "ZeroDivisionError: oops" in told
    assert "this is a bug" in told


def test_it_ends_even_where_not_even_the_error_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(main, "end_process", ended.append)

    def fails() -> int:
        raise MemoryError

    monkeypatch.setattr(main, "run_command", fails)
    main.main()
    assert ended == [EXIT_OUT_OF_MEMORY]


def test_an_interruption_among_other_errors_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(main, "end_process", ended.append)

    def fails() -> int:
        raise BaseExceptionGroup("tasks", [KeyboardInterrupt(), ValueError("the bug")])

    monkeypatch.setattr(main, "run_command", fails)
    main.main()
    assert ended == [ending.EXIT_BUG]
    assert "ValueError: the bug" in capfd.readouterr().err


STARVED = """
import threading, time
from sidecar.agent.ending import end_with_a_starved_thread
end_with_a_starved_thread()
def start():
    raise {}
threading.Thread(target=start).start()
time.sleep({})
"""


@pytest.mark.parametrize("raised", ["MemoryError", 'RuntimeError("can\'t start new thread")'])
def test_a_thread_that_ends_for_want_of_memory_ends_the_process(raised: str) -> None:
    command = [sys.executable, "-c", STARVED.format(raised, 60)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == EXIT_OUT_OF_MEMORY
    assert "raise the limits" in ended.stderr
    assert "in start" in ended.stderr


def test_a_thread_that_had_no_memory_to_begin_ends_the_process() -> None:
    """Whoever started it would wait for ever, as gRPC's server does for the thread of a new stream."""
    script = STARVED.format("None", 60).replace(
        "threading.Thread(", "threading.Thread._set_ident = lambda self: start()\nthreading.Thread("
    )
    command = [sys.executable, "-c", script.replace("raise None", "raise MemoryError")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == EXIT_OUT_OF_MEMORY
    assert "raise the limits" in ended.stderr


def test_a_thread_that_ends_for_another_reason_is_told_of_and_no_more() -> None:
    command = [sys.executable, "-c", STARVED.format("ZeroDivisionError", 0)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0
    assert "ZeroDivisionError" in ended.stderr


def test_the_daemon_runs_under_that_rule(monkeypatch: pytest.MonkeyPatch, runs: Runs) -> None:
    assert call(monkeypatch, "run") == 0
    assert threading.excepthook is ending._on_end_of_thread
