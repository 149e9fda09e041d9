"""A disk that is full, or read-only, under a running sidecar and under one that starts: traffic does not notice."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.agent.envoy_record import start_ticks
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.root]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture
def meshed() -> Iterator[Meshed]:
    """The mesh, with a client whose data directory is a disk of its own, of one MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a small disk")
    with reviews_mesh() as (mesh, _), small_disk(mesh.root / "data" / "poor"):
        client = mesh.sidecar("poor")
        mesh.put(reviews_to("v1"))
        yield mesh, client
        client.remove()


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> Path:
    """Until nothing more fits."""
    filler = disk / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(4096))
    os.close(file)
    return filler


def remount(disk: Path, how: str) -> None:
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    wait_until(
        lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0,
        30,
        f"{disk} to become {how}: until then a file is open for writing",
    )


def test_a_full_disk_costs_the_last_known_good_alone_and_it_is_written_when_there_is_room(
    meshed: Meshed,
) -> None:
    mesh, client = meshed
    client.wait_last_good(mesh.settle())
    filler = fill(client.data_dir)
    revision = mesh.put(reviews_to("v2"))
    assert client.ask(REVIEWS).version == "v2"
    status = client.wait_status("an error", lambda now: now["last_known_good"]["error"])
    assert "No space left" in status["last_known_good"]["error"]
    assert "the last known good is not written" in mesh.meshd("status", "poor").stdout
    wait_until(
        lambda: "meshd_cache_write_failures_total 1.0" in client.page("/metrics")[1], 20, "a count"
    )
    client.kill()
    client.start().wait_ready()  # it starts on the full disk
    assert client.wait_in_force(revision)
    assert client.ask(REVIEWS).version == "v2"
    client.kill()
    client.kill_envoy()  # and so does another Envoy
    client.start().wait_ready()
    assert client.wait_in_force(revision)  # on its disk is what was before: it is ready with that
    assert client.ask(REVIEWS).version == "v2"
    filler.unlink()
    client.wait_last_good(mesh.put(reviews_to("v1")))
    assert not client.status()["last_known_good"]["error"]


def test_a_disk_made_read_only_is_read_and_the_sidecar_starts_on_it(meshed: Meshed) -> None:
    mesh, client = meshed
    client.wait_last_good(mesh.settle())
    client.kill()
    pid = client.kill_envoy()
    wait_until(lambda: start_ticks(pid) is None, 20, "Envoy's end")
    remount(client.data_dir, "ro")
    mesh.etcd.kill()
    client.start().wait_ready()
    assert client.ask(REVIEWS).version == "v1", "what is on the disk"
    mesh.etcd.start()
    mesh.put(reviews_to("v2"))
    assert client.ask(REVIEWS).version == "v2"
    status = client.wait_status("an error", lambda now: now["last_known_good"]["error"])
    assert "Read-only file system" in status["last_known_good"]["error"]
    client.kill()
    client.start().wait_ready()
    remount(client.data_dir, "rw")
    client.wait_last_good(mesh.put(reviews_to("v1")))


def test_a_run_directory_without_room_is_said_so_and_the_old_envoy_serves(meshed: Meshed) -> None:
    mesh, _ = meshed
    with small_disk(mesh.root / "run" / "cramped") as disk:
        sidecar = mesh.sidecar("cramped")
        filler = fill(disk)
        sidecar.kill()
        assert sidecar.ask(REVIEWS).version == "v1"
        sidecar.start().wait_ready()  # what it would write is there already
        assert sidecar.ask(REVIEWS).version == "v1"
        sidecar.kill()
        sidecar.kill_envoy()
        (disk / "envoy.json").unlink()
        fill(disk)
        process = sidecar.start().process
        assert process is not None
        assert process.wait(60) == 3
        sidecar.process = None
        assert "No space left" in sidecar.log.read_text()
        assert "Traceback" not in sidecar.log.read_text()
        filler.unlink()
        sidecar.start().wait_ready()
        assert sidecar.ask(REVIEWS).version == "v1"
        sidecar.remove()
