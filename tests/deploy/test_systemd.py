"""The units: systemd finds nothing wrong with them, and what they start exists and takes their settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from sidecar.agent.main import command
from sidecar.agent.settings import SidecarSettings

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
EXPOSURE_MAX = 25
"""Tenths of `systemd-analyze security`'s scale, on which an unhardened unit has 96."""

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def settings_of(unit: Path) -> list[tuple[str, str]]:
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [
        (name, value)
        for name, _, value in (line.partition("=") for line in lines if "=" in line)
        if not name.startswith("#")
    ]


def with_a_program_that_exists(unit: Path, directory: Path) -> Path:
    """The unit, running /bin/true: `verify` complains of programs that are not installed here."""
    copy = directory / unit.name
    text = re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy.write_text(text, encoding="utf-8")
    return copy


@needs_systemd
def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    copies = [str(with_a_program_that_exists(unit, tmp_path)) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", *copies],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_units_are_hardened(unit: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE_MAX}",
            str(with_a_program_that_exists(unit, tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge files offline")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_commands_that_there_are(unit: Path) -> None:
    lines = [(name, value) for name, value in settings_of(unit) if name.startswith("Exec")]
    assert "ExecStart" in dict(lines)
    for _, line in lines:
        program, *words = line.split()
        assert Path(program).name == "meshd-sidecar"
        verb: click.Command = command
        while isinstance(verb, click.Group):
            verb = verb.commands[words.pop(0)]
        known = {name for option in verb.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_sidecar_and_envoy_share_user_and_directories() -> None:
    shared = ("User", "Group", "RuntimeDirectory", "StateDirectory", "RuntimeDirectoryPreserve")
    names = ("meshd-sidecar.service", "meshd-envoy.service")
    first, second = (dict(settings_of(SYSTEMD / name)) for name in names)
    assert {name: first[name] for name in shared} == {name: second[name] for name in shared}
    assert first["RuntimeDirectoryPreserve"] == "yes"


def test_the_example_of_settings_is_right_and_leaves_envoy_to_its_unit(tmp_path: Path) -> None:
    text = (SYSTEMD / "sidecar.toml").read_text(encoding="utf-8")
    for file in ("ca.pem", "vm-7.pem", "vm-7.key"):
        assert f"/etc/meshd/etcd/{file}" in text
        (tmp_path / file).write_text("not read here", encoding="utf-8")
    text = text.replace("/etc/meshd/etcd", str(tmp_path))
    settings = SidecarSettings.model_validate(tomllib.loads(text))
    assert settings.envoy.managed is False
    assert (str(settings.run_dir), str(settings.data_dir)) == ("/run/meshd", "/var/lib/meshd")
    assert settings.on_stop == "keep"
