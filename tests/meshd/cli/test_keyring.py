"""`meshd keyring`: keys are made, listed by fingerprint, changed; and never shown or taken as arguments."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.command_line import CommandLine
from tests.harness.fake_agent import FakeAgent, stale_socket

KEY = base64.b64encode(b"k" * 32).decode()
ONE, TWO = "0" * 16, "1" * 16


def ring(*keys: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    on = {"state": "on", "reason": ""}
    return 200, {"node": "near", "gossip": on, "keys": list(keys), "error": "", **fields}


@pytest.fixture
def keyed(near: FakeAgent) -> FakeAgent:
    """A sidecar with one key that takes others."""
    near.answers["/v1/keyring"] = ring(ONE)
    for deed in ("install", "use", "remove"):
        near.answers[f"/v1/keyring/{deed}"] = (200, {"changed": True, "keys": [ONE, TWO]})
    return near


def test_a_new_key_is_32_random_bytes_and_alone_on_standard_output(machine: CommandLine) -> None:
    first, second = machine("keyring", "generate"), machine("keyring", "generate")
    assert len(base64.b64decode(first.out)) == 32
    assert first.out != second.out
    assert first.err == ""


def test_a_key_file_is_its_owners_and_never_overwritten(
    machine: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    ran = machine("keyring", "generate", "-f", str(path))
    assert (ran.status, ran.out) == (exits.OK, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_text()
    assert len(base64.b64decode(content)) == 32
    again = machine("keyring", "generate", "-f", str(path))
    assert again.status == exits.CONFLICT
    assert path.read_text() == content
    assert content.strip() not in again.text()
    assert machine("keyring", "generate", "-f", "/nowhere/keys").status == exits.INVALID


def test_keys_are_listed_by_fingerprint_and_what_they_do(
    machine: CommandLine, keyed: FakeAgent
) -> None:
    keyed.answers["/v1/keyring"] = ring(ONE, TWO)
    ran = machine("keyring", "list")
    assert ran.status == exits.OK
    assert [line.split() for line in ran.out.splitlines()] == [
        ["NODE", "KEY", "USE"],
        ["near", ONE, "seals"],
        ["near", TWO, "opens"],
    ]


def test_sidecars_with_different_keys_are_1(
    machine: CommandLine, keyed: FakeAgent, run_dir: Path
) -> None:
    with FakeAgent(run_dir, "other").serving() as other:
        other.answers["/v1/keyring"] = ring(TWO)
        assert machine("keyring", "list").status == exits.NO
        other.answers["/v1/keyring"] = ring(ONE)
        assert machine("keyring", "list").status == exits.OK
    stale_socket(run_dir, "gone")
    ran = machine("keyring", "list", "-o", "json")
    assert ran.status == exits.NO
    assert "error" in json.loads(ran.out)["gone"]


def test_a_file_that_cannot_be_used_is_told(machine: CommandLine, keyed: FakeAgent) -> None:
    keyed.answers["/v1/keyring"] = ring(ONE, error="/etc/x: no key")
    assert "near: error: /etc/x: no key" in machine("keyring", "list").err


def test_with_gossip_off_there_are_no_keys_and_1(machine: CommandLine, near: FakeAgent) -> None:
    off = {"state": "off", "reason": "there is no key"}
    near.answers["/v1/keyring"] = ring(gossip=off)
    ran = machine("keyring", "list")
    assert (ran.status, ran.out) == (exits.NO, "")
    assert "gossip is off on near: there is no key" in ran.err


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_a_key_is_installed_from_a_file_or_standard_input(
    source: str, machine: CommandLine, keyed: FakeAgent
) -> None:
    text = f"# the new one\n{KEY}   # of 2026\n\n"
    machine.file("new.key", text)
    words = ("-f", "new.key") if source == "file" else ("-f", "-")
    ran = machine("keyring", "install", *words, stdin=text)
    assert ran.status == exits.OK, ran.text()
    assert keyed.bodies == [{"key": KEY}]
    assert ran.out == f"near: done; seals with {ONE}, opens {TWO}\n"
    assert KEY not in ran.text()


def test_use_and_remove_name_a_key_by_its_fingerprint_or_file(
    machine: CommandLine, keyed: FakeAgent
) -> None:
    machine.file("new.key", KEY)
    machine("keyring", "use", TWO)
    machine("keyring", "use", "-f", "new.key")
    machine("keyring", "remove", ONE)
    assert keyed.bodies == [{"key": TWO}, {"key": KEY}, {"key": ONE}]
    assert keyed.asked[-1] == "POST /v1/keyring/remove"


def test_what_was_so_already_is_told_as_that(machine: CommandLine, keyed: FakeAgent) -> None:
    keyed.answers["/v1/keyring/use"] = (200, {"changed": False, "keys": [ONE]})
    assert machine("keyring", "use", ONE).out == f"near: nothing to do; seals with {ONE}\n"


@pytest.mark.parametrize("deed", ["use", "remove"])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    deed: str, machine: CommandLine, keyed: FakeAgent
) -> None:
    ran = machine("keyring", deed, KEY)
    assert ran.status == exits.USAGE
    assert "no fingerprint" in ran.err
    assert KEY not in ran.text()
    assert keyed.bodies == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 keys"),
        (f"{KEY}\n{KEY[:-4]}AAA=", "has 2 keys"),
        ("not base64!", "no key in base64"),
        (base64.b64encode(b"short").decode(), "has 5 bytes"),
        ("#" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_and_not_repeated(
    text: str, words: str, machine: CommandLine, keyed: FakeAgent
) -> None:
    machine.file("new.key", text)
    ran = machine("keyring", "install", "-f", "new.key")
    assert ran.status == exits.INVALID
    assert words in ran.err
    assert not text.strip() or text.strip()[:20] not in ran.err
    assert keyed.bodies == []


def test_a_file_that_is_not_there_is_named(machine: CommandLine, keyed: FakeAgent) -> None:
    ran = machine("keyring", "install", "-f", "nowhere.key")
    assert ran.status == exits.INVALID
    assert "nowhere.key cannot be read" in ran.err


@pytest.mark.parametrize("words", [("install",), ("use",), ("use", ONE, "-f", "x"), ("remove",)])
def test_it_must_be_said_which_key(words: tuple[str, ...], machine: CommandLine) -> None:
    assert machine("keyring", *words).status == exits.USAGE


def test_one_that_refuses_hides_none_that_did_it(
    machine: CommandLine, keyed: FakeAgent, run_dir: Path
) -> None:
    with FakeAgent(run_dir, "other").serving() as other:
        refusal = {"error": "this gossip key is not installed here", "hint": "Install it"}
        other.answers["/v1/keyring/use"] = (400, refusal)
        ran = machine("keyring", "use", TWO)
        assert ran.status == exits.INVALID
        assert "near: done" in ran.out
        assert "other: error: other: this gossip key is not installed here" in ran.err
        assert machine("keyring", "use", TWO, "--node", "near").status == exits.OK
