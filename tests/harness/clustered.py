"""A mesh on an etcd of three members that are killed, frozen and started again.

with ClusterMesh() as mesh:
    host = mesh.sidecar("vm-1", ...)           # all members are in its settings
    mesh.watched().kill()                      # the member that the one sidecar watches
    mesh.leader().kill()
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from store.etcd.client import EtcdClient, MemberStatus
from store.etcd.settings import EtcdSettings
from tests.harness.mesh import MeshFixture
from tests.harness.processes import EtcdProcess, start_cluster, wait_until
from tests.harness.sidecars import SidecarProcess

__all__ = ["ClusterMesh"]

SIZE = 3
TIMING = ("--heartbeat-interval=50", "--election-timeout=500")
"""Elections within a second: what is tested is who waits for them, not how long they take."""
_WATCHERS = re.compile(r"^etcd_debugging_mvcc_watcher_total (\d+)", re.MULTILINE)


class ClusterMesh(MeshFixture):
    """A `MeshFixture` on a cluster; `members` are its processes, running or not."""

    def __enter__(self) -> ClusterMesh:
        with ExitStack() as stack:
            self.root = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            self.members = start_cluster(self.root / "etcd", SIZE, TIMING)
            for member in self.members:
                stack.callback(member.kill)
            self.etcd = self.members[0]
            settings = EtcdSettings(endpoints=tuple(self.urls))
            self.client = stack.enter_context(EtcdClient(settings))
            self._stack = stack.pop_all()
        return self

    @property
    def urls(self) -> list[str]:
        """Endpoints of all members."""
        return [member.url for member in self.members]

    def sidecar(
        self, node: str, *workloads: Mapping[str, Any], app: Sequence[str] = (), **settings: Any
    ) -> SidecarProcess:
        """As of any mesh, with all members in its settings."""
        told = {"etcd": {"endpoints": self.urls}, **settings}
        return super().sidecar(node, *workloads, app=app, **told)

    def alive(self) -> Iterator[EtcdProcess]:
        """Members whose process runs."""
        return (member for member in self.members if member.process is not None)

    def watched(self) -> EtcdProcess:
        """The member that somebody watches; waits until it is one alone."""

        def one() -> EtcdProcess | None:
            watched = [member for member in self.alive() if _watchers(member)]
            return watched[0] if len(watched) == 1 else None

        found = wait_until(one, 20.0, "one member to be watched")
        assert found is not None
        return found

    def leader(self) -> EtcdProcess:
        """The member that leads; waits until one does."""

        def leading() -> EtcdProcess | None:
            for status in self.client.status(timeout_s=1.0):
                if isinstance(status, MemberStatus) and status.leader_id == status.member_id:
                    return next(m for m in self.members if m.url == status.endpoint)
            return None

        found = wait_until(leading, 20.0, "a leader")
        assert found is not None
        return found


def _watchers(member: EtcdProcess) -> int:
    found = _WATCHERS.search(member.http_get("/metrics"))
    return int(found[1]) if found else 0
