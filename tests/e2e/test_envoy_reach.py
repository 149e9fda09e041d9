"""What other hosts can reach of an Envoy: the listeners that somebody declared, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.echo import EchoBackend
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


def listening(pid: int) -> set[int]:
    """Ports on which a process listens, TCP of any family and address."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:  # closed since it was listed
            continue
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


Reached = tuple[SidecarProcess, set[int]]


@pytest.fixture(scope="module")
def reached() -> Iterator[Reached]:
    with MeshFixture() as mesh, EchoBackend("reviews") as app:
        egress = listen_port()
        workload = mesh.workload(app, 9080)
        mesh.put(f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - port: {{number: {egress}, protocol: HTTP, name: http}}
    hosts: ["*/*"]
  - hosts: ["*/*"]
""")
        host = mesh.sidecar("h1", workload)
        yield host, {host.port, workload["ports"][0]["inbound_port"], egress}


def test_envoy_listens_where_it_was_told_and_nowhere_else(reached: Reached) -> None:
    host, declared = reached
    pid = host.envoy_pid()
    assert pid is not None
    assert listening(pid) == declared


def test_its_admin_and_the_sidecars_api_are_sockets_of_their_own_user(reached: Reached) -> None:
    host, _ = reached
    for name in ("admin.sock", "status.sock", "ads.sock"):
        found = (host.run_dir / name).stat()
        assert stat.S_ISSOCK(found.st_mode), name
        assert stat.S_IMODE(found.st_mode) & 0o077 == 0, name
        assert found.st_uid == os.geteuid(), name
    assert stat.S_IMODE(host.run_dir.stat().st_mode) == 0o700


def test_the_sidecar_itself_listens_on_no_port_without_gossip(reached: Reached) -> None:
    host, _ = reached
    assert host.process is not None
    assert listening(host.process.pid) == set()


def test_admin_pages_are_not_to_be_had_through_a_listener(reached: Reached) -> None:
    host, _ = reached
    for path in ("/config_dump", "/quitquitquit", "/stats"):
        for name in ("localhost", f"127.0.0.1:{host.port}"):
            assert host.ask(name, path).status >= 400
