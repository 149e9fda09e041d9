from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from meshd.cli import exits
from meshd.cli.console import wants_colour
from meshd.cli.main import VERBS, program
from meshd.cli.options import Verb
from store import errors
from tests.harness.command_line import CommandLine

TOP = Path(__file__).parents[3]
HEAVY = ("pydantic", "grpc", "rich", "yaml", "trio", "structlog")


@pytest.fixture
def meshd(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, {"MESHD_RUN_DIR": str(tmp_path / "run")})


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from meshd.cli.main import run; run(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert "put" in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_their_own_help_says(name: str) -> None:
    command = _command(name)
    assert (command.help or "").split("\n")[0] == VERBS[name].summary


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_and_part_of_one_shows_examples_that_parse(name: str) -> None:
    for verb, path in _parts(_command(name), [name]):
        assert verb.examples, f"{path} has no examples"
        for example in verb.examples:
            begin = f"meshd {' '.join(path)}"
            assert begin in example, example
            line = re.split(r" \|\|? | > |  #|\)$", example.split(begin, 1)[1])[0]
            verb.make_context("meshd", shlex.split(line), obj={})


@pytest.mark.parametrize("name", VERBS)
def test_help_of_every_verb_fits_and_names_the_common_options(
    name: str, meshd: CommandLine
) -> None:
    ran = meshd(name, "--help")
    assert ran.status == exits.OK
    assert max(map(len, ran.out.splitlines())) <= 100
    assert VERBS[name].summary in ran.out


def test_an_unknown_verb_names_the_nearest(meshd: CommandLine) -> None:
    ran = meshd("stauts")
    assert (ran.status, ran.out) == (exits.USAGE, "")
    assert 'did you mean "status"?' in ran.err


def test_an_unknown_option_names_the_nearest(meshd: CommandLine) -> None:
    ran = meshd("status", "--no-header")
    assert ran.status == exits.USAGE
    assert "--no-headers" in ran.err


def test_apply_is_put(meshd: CommandLine) -> None:
    assert "Write objects from files" in meshd("apply", "--help").out


def test_a_bug_says_so_and_how_to_report_it(
    meshd: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_version_raise(monkeypatch, ZeroDivisionError("oops"))
    ran = meshd("version", "--client")
    assert ran.status == exits.BUG
    assert "bug in meshd: ZeroDivisionError: oops" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in meshd("-v", "version", "--client").err


def test_want_of_memory_is_not_a_bug(meshd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_version_raise(monkeypatch, MemoryError())
    ran = meshd("version", "--client")
    assert ran.status == exits.OUT_OF_MEMORY
    assert "no more memory" in ran.err
    assert "bug" not in ran.err


def test_interrupt_ends_with_130(meshd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_version_raise(monkeypatch, KeyboardInterrupt())
    assert meshd("version", "--client").status == exits.INTERRUPTED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InputError, 3),
        (errors.NotFoundError, 4),
        (errors.ConflictError, 5),
        (errors.StoreUnavailable, 6),
        (errors.AgentUnavailable, 6),
        (errors.PeerError, 6),
    ],
)
def test_errors_end_with_the_status_of_the_table(
    error: type[errors.MeshError],
    status: int,
    meshd: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _let_version_raise(monkeypatch, error("it went wrong", hint="Do better"))
    ran = meshd("version", "--client")
    assert (ran.status, ran.out) == (status, "")
    assert ran.err == "meshd: it went wrong\n  Do better\n"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error_to_talk_about() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "meshd.cli.main", "explain", "vs", "--recursive"]
    done = subprocess.run(words, cwd=TOP, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == exits.READER_GONE


@pytest.mark.parametrize(
    ("told", "environment", "is_coloured"),
    [
        (None, {}, None),
        ("auto", {}, None),
        ("always", {}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        (None, {"FORCE_COLOR": "1"}, True),
        (None, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("auto", {"NO_COLOR": "1"}, None),
        (None, {"TERM": "dumb"}, False),
    ],
)
def test_colour_follows_flag_then_environment_then_the_terminal(
    told: str | None, environment: dict[str, str], is_coloured: bool | None
) -> None:
    assert wants_colour(told, environment) is is_coloured


@pytest.mark.slow
def test_colour_reaches_a_pipe_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: VirtualService\n")
    for flag, is_coloured in (("auto", False), ("always", True)):
        words = ["validate", "--color", flag, str(tmp_path / "bad.yaml")]
        done = subprocess.run(
            [sys.executable, "-m", "meshd.cli.main", *words],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == exits.INVALID
        assert ("\x1b[31m" in done.stdout) is is_coloured


def test_common_options_count_before_and_behind_the_verb(meshd: CommandLine) -> None:
    before = meshd("--run-dir", "/nowhere/a", "status")
    behind = meshd("--run-dir", "/nowhere/b", "status", "--run-dir", "/nowhere/a")
    assert before.err == behind.err
    assert "/nowhere/a" in before.err


def _command(name: str) -> click.Command:
    module = importlib.import_module(f"meshd.cli.verbs.{name}")
    command = module.command
    assert isinstance(command, click.Command)
    assert program.get_command(click.Context(program), name) is command
    return command


def _parts(command: click.Command, path: list[str]) -> list[tuple[Verb, list[str]]]:
    own = [(command, path)] if isinstance(command, Verb) else []
    if isinstance(command, click.Group):
        return own + [
            found
            for name, part in command.commands.items()
            for found in _parts(part, [*path, name])
        ]
    assert own, f"{command.name} is no verb"
    return own


def _let_version_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raise_it(_: str) -> str:
        raise error

    module = importlib.import_module("meshd.cli.verbs.version")
    monkeypatch.setattr(module, "installed", raise_it)
