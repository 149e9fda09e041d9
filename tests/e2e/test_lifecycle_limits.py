"""A sidecar without descriptors or memory, or whose wall clock jumps: traffic does not notice, and it recovers."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from store.errors import EXIT_OUT_OF_MEMORY
from tests.harness.gossip_settings import gossip, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

Meshed = tuple[MeshFixture, SidecarProcess]


@pytest.fixture
def meshed() -> Iterator[Meshed]:
    with reviews_mesh() as (mesh, client):
        mesh.put(reviews_to("v1"))
        yield mesh, client


def pid_of(sidecar: SidecarProcess) -> int:
    assert sidecar.process is not None
    return sidecar.process.pid


def descriptors(sidecar: SidecarProcess) -> int:
    return len(os.listdir(f"/proc/{pid_of(sidecar)}/fd"))


@contextlib.contextmanager
def callers(sidecar: SidecarProcess, count: int) -> Iterator[None]:
    """So many connections to its status socket that say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            caller = stack.enter_context(socket.socket(socket.AF_UNIX))
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                caller.connect(str(sidecar.run_dir / "status.sock"))
        yield


def test_without_descriptors_it_serves_on_and_recovers(meshed: Meshed) -> None:
    """Envoy is not taken for dead, no second one is started, and a change comes in force by the open watch."""
    mesh, client = meshed
    pid, before = client.envoy_pid(), descriptors(client)
    soft, hard = resource.prlimit(pid_of(client), resource.RLIMIT_NOFILE)
    resource.prlimit(pid_of(client), resource.RLIMIT_NOFILE, (before + 4, hard))
    with client.load(REVIEWS) as load:
        with callers(client, 40):
            wait_until(lambda: descriptors(client) >= before + 3, 30, "all descriptors to be used")
            revision = mesh.put(reviews_to("v2"), wait=False)
            wait_until(lambda: client.ask(REVIEWS).version == "v2", 45, "the change")
            mesh.etcd.restart()  # the watch breaks, and no other can be opened
            load.wait_for(300)
            assert client.process is not None
            assert client.process.poll() is None, client.log_tail()
        resource.prlimit(pid_of(client), resource.RLIMIT_NOFILE, (soft, hard))
        assert client.wait_in_force(revision)
        assert client.wait_in_force(mesh.put(reviews_to("v1")))
        client.wait_last_good(revision)
    load.assert_none_failed(at_least=300)
    assert client.envoy_pid() == pid
    assert client.status()["envoy"]["restarts"] == 0


def test_descriptors_and_threads_stay_few_over_many_broken_watches(meshed: Meshed) -> None:
    mesh, client = meshed
    counts = []
    for turn in range(4):
        mesh.etcd.restart()
        client.wait_in_force(mesh.put(reviews_to(("v1", "v2")[turn % 2])))
        threads = len(os.listdir(f"/proc/{pid_of(client)}/task"))
        counts.append((descriptors(client), threads))
    fds, threads = counts[0]
    # What is closed by a thread of gRPC is gone a moment later.
    wait_until(lambda: descriptors(client) <= fds + 6, 30, f"few descriptors, not {counts}")
    assert max(count for _, count in counts[1:]) <= threads + 6, counts


def entries(batch: int) -> str:
    """3,000 services; a sidecar needs some 10 MB to know them."""
    return "".join(
        f"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e{batch}-{n}}}\n"
        f"spec: {{hosts: [e{n}.{batch}.example.com], ports: [{{number: 80, name: http, protocol: HTTP}}]}}\n"
        for n in range(3_000)
    )


def writable_bytes(pid: int) -> int:
    """What counts against RLIMIT_DATA. (Of an address space, much is only set aside, and may be used up later.)"""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    return kib * 1024


def has_ended_or_in_force(sidecar: SidecarProcess, revision: int) -> bool:
    """Whether it has ended, or says that it has the revision in force; one that is ending says nothing."""
    assert sidecar.process is not None
    if sidecar.process.poll() is not None:
        return True
    code, text = sidecar.page("/v1/status")
    return code == 200 and json.loads(text)["config"]["revision_in_force"] >= revision


def test_without_memory_it_ends_loudly_and_the_next_one_goes_on(meshed: Meshed) -> None:
    """It gets no more memory, while the mesh grows until what it has is used up: it ends by itself."""
    mesh, client = meshed
    pid, process = client.envoy_pid(), client.process
    assert process is not None
    hard = resource.prlimit(process.pid, resource.RLIMIT_DATA)[1]
    with client.load(REVIEWS) as load:
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (writable_bytes(process.pid), hard))
        revision = 0
        for batch in range(10):
            revision = mesh.put(entries(batch), wait=False)
            wait_until(
                partial(has_ended_or_in_force, client, revision),
                60,
                "the change in force, or an end",
            )
            if process.poll() is not None:
                break
        status = client.wait_ended(10.0, "of changes without memory")
        # What systemd does not start again (deploy/systemd: 2 and 3) would be wrong, and so would success. Python
        # itself ends by a signal where it has no memory left to say so.
        assert status == EXIT_OUT_OF_MEMORY or status < 0, client.log_tail()
        assert status < 0 or "it got no more memory" in client.log.read_text()
        load.wait_for(100)
        client.start().wait_ready()
        assert client.wait_in_force(revision)
    load.assert_none_failed(at_least=100)
    assert client.envoy_pid() == pid


JUMPING_CLOCK = """
import datetime, os, time
_real, _file = time.time, os.environ.get("TEST_CLOCK")
def _jumped():
    try:
        with open(_file) as file:
            return _real() + float(file.read() or 0)
    except OSError:
        return _real()
if _file:
    time.time = _jumped
    time.time_ns = lambda: int(_jumped() * 1e9)
"""
"""What a sidecar's Python runs first: its wall clock is ahead by what a file says. Monotonic time is as it is, as it
would be if somebody set the clock."""


def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with MeshFixture() as mesh:
        clock = mesh.root / "clock"
        clock.write_text("0")
        (mesh.root / "sitecustomize.py").write_text(JUMPING_CLOCK)
        monkeypatch.setenv("TEST_CLOCK", str(clock))
        monkeypatch.setenv(
            "PYTHONPATH", f"{mesh.root}:{os.getcwd()}:{os.environ.get('PYTHONPATH', '')}"
        )
        backend = mesh.backend("reviews", "v1")
        other = mesh.sidecar("other", mesh.workload(backend, 9080), wait=False, **gossip(mesh))
        client = mesh.sidecar("client", wait=False, **gossip(mesh, port=None))
        for sidecar in (other, client):
            sidecar.wait_ready()
            wait_members(sidecar, alive=1)
        mesh.put(reviews_to("v1"))
        client.wait_last_good(mesh.settle())
        before = client.status()
        with client.load(REVIEWS) as load:
            for ahead_s in (3_600, -3_600, 86_400 * 400, 0):
                clock.write_text(str(ahead_s))
                client.wait_in_force(mesh.put(reviews_to("v1")))
                client.wait_last_good(mesh.settle())
                now = client.status()
                for part in ("age_s", "epoch", "source", "sync"):
                    assert now["config"][part] == before["config"][part]
                assert now["gossip"]["members"] == before["gossip"]["members"]
                assert now["last_known_good"]["age_s"] < 600
                load.wait_for(50)
            clock.write_text("-3600")  # and it starts with a clock that went back
            client.end(signal.SIGKILL)
            client.start().wait_ready()
            wait_members(client, alive=1)
            assert client.status()["gossip"]["epoch"] > before["gossip"]["epoch"]
            mesh.etcd.kill()
            status = client.wait_status(
                "the age of what it serves", lambda now: (now["config"]["age_s"] or 0) > 0
            )
            assert status["config"]["age_s"] < 600
            mesh.etcd.start()
        load.assert_none_failed(at_least=200)
