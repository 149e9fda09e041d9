from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sidecar.agent.outlier_memory import read_imposed, write_imposed
from sidecar.mesh.model import HostName
from sidecar.outlier.events import EndpointName, Imposed
from sidecar.outlier.model import Destination, Place
from store.errors import InputError

AT: EndpointName = (Destination(HostName("a"), 80), Place("10.0.0.1", 8080))
PIPE: EndpointName = (Destination(HostName("a"), 80), Place("/run/app.sock", 0))


def test_what_was_imposed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "imposed.json"
    imposed = {AT: Imposed.EJECTED, PIPE: Imposed.TRIAL}
    write_imposed(path, imposed)
    assert read_imposed(path) == imposed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_imposed(path, {})
    assert read_imposed(path) == {}


def test_before_the_first_time_there_is_nothing(tmp_path: Path) -> None:
    assert read_imposed(tmp_path / "imposed.json") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}x",
        "7",
        "[[]]",
        '[["a", 80, "10.0.0.1", 80, "banished"]]',
        '[["a", "b", "10.0.0.1", 80, "ejected"]]',
        '[[1, 80, "10.0.0.1", 80, "ejected"]]',
        '[["a", 80, null, 80, "ejected"]]',
        '[["a", 80, "10.0.0.1", 1e999, "ejected"]]',
        "[" * 100_000,
    ],
)
def test_a_file_that_says_something_else_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "imposed.json"
    path.write_text(text)
    with pytest.raises(InputError, match="does not say what was imposed"):
        read_imposed(path)


def test_bytes_that_are_no_text_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "imposed.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="does not say what was imposed"):
        read_imposed(path)
