"""The edges of the daemon: whose fault an end was, and whose directories it uses."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent import daemon
from sidecar.agent.run_files import hold_lock
from sidecar.agent.settings import EnvoySettings, SidecarSettings
from store.errors import InputError, MeshError, NotFoundError, StoreUnavailable


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A daemon governs the collector of its process; here that is the tests' own."""
    yield
    gc.enable()


def group(*problems: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("tasks", problems)


def test_an_operating_error_comes_out_of_its_nurseries_as_it_is() -> None:
    problem = StoreUnavailable("away")
    found = daemon._operating_error(group(group(problem), InputError("another")))
    assert found is problem


@pytest.mark.parametrize("bug", [KeyError("a bug"), KeyboardInterrupt()])
def test_a_bug_beside_an_operating_error_stays_a_bug(bug: BaseException) -> None:
    assert daemon._operating_error(group(InputError("no"), group(bug))) is None


def settings(tmp_path: Path, **told: object) -> SidecarSettings:
    return SidecarSettings.model_validate(
        {"node": "h1", "run_dir": tmp_path / "run", "data_dir": tmp_path / "data", **told}
    )


def ended(told: SidecarSettings, app: tuple[str, ...] = ()) -> MeshError:
    with pytest.raises(MeshError) as caught:
        daemon.run_daemon(told, app)
    return caught.value


def test_what_cannot_be_started_is_refused_with_directories_for_this_user_alone(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run" / "h1"
    run_dir.mkdir(parents=True, mode=0o755)
    problem = ended(settings(tmp_path, envoy=EnvoySettings(path="/nowhere/envoy")))
    assert isinstance(problem, NotFoundError)
    for directory in (run_dir, tmp_path / "data" / "h1"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_an_application_that_is_none_is_refused_before_envoy_is_started(tmp_path: Path) -> None:
    problem = ended(settings(tmp_path), ("no-such-program-here",))
    assert isinstance(problem, InputError)
    assert not (tmp_path / "run" / "h1" / "envoy.pid").exists()


@pytest.mark.parametrize(("directory", "lock"), [("run", "sidecar.lock"), ("data", "data.lock")])
def test_neither_sockets_nor_disk_are_shared_by_two_daemons(
    tmp_path: Path, directory: str, lock: str
) -> None:
    place = tmp_path / directory / "h1"
    place.mkdir(parents=True)
    with hold_lock(place / lock):
        problem = ended(settings(tmp_path))
    assert "another sidecar" in str(problem)
    assert not (tmp_path / "run" / "h1" / "envoy.pid").exists()


def test_a_file_where_a_directory_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    assert str(tmp_path / "run") in str(ended(settings(tmp_path)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "run" / "h1"
    own.mkdir(parents=True)
    os.chown(own, 65534, 65534)
    assert "belongs to another user" in str(ended(settings(tmp_path)))
