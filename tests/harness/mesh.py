"""A mesh for end-to-end tests: a real etcd, real `meshd-sidecar` processes with their Envoys, echo applications.

    with MeshFixture() as mesh:
        v1 = mesh.backend("reviews", "v1")
        host = mesh.sidecar("h1", mesh.workload(v1, 9080))
        mesh.put("kind: VirtualService ...")          # one transaction, then in force on every live sidecar
        assert host.ask("reviews:9080").version == "v1"

Everything runs on loopback, below one directory with a short name (paths of unix sockets are limited), and is
ended and removed when the block ends, however it ends. What failed shows the end of the sidecars' logs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol

from store.diagnostics import Level
from store.errors import NotFoundError
from store.etcd.client import EtcdClient
from store.etcd.settings import EtcdSettings
from store.manifest import read_text
from tests.harness import publishing
from tests.harness.echo import EchoBackend
from tests.harness.processes import EtcdProcess
from tests.harness.sidecars import SidecarProcess, listen_port

__all__ = ["Application", "MeshFixture"]


class Application(Protocol):
    """What can be a workload."""

    @property
    def name(self) -> str:
        """Its service."""
        ...

    @property
    def version(self) -> str:
        """Its label `version`; empty for none."""
        ...

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        ...


class MeshFixture:
    """See the module's text. Settings given here hold for every sidecar.

    Args:
        settings: Nested settings of every sidecar, as in its TOML file.
    """

    _open_client: Callable[[EtcdSettings], AbstractContextManager[EtcdClient]] = EtcdClient

    def __init__(self, **settings: Any) -> None:
        self._settings = {"registration": {"ttl_s": 5}, "log_level": "info", **settings}
        self._stack = ExitStack()
        self.sidecars: dict[str, SidecarProcess] = {}
        """By node."""

    def __enter__(self) -> MeshFixture:
        with ExitStack() as stack:
            self.root = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            self.etcd = stack.enter_context(EtcdProcess(self.root / "etcd"))
            self.client = stack.enter_context(
                self._open_client(EtcdSettings(endpoints=(self.etcd.url,)))
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def backend(self, name: str, version: str = "", **options: Any) -> EchoBackend:
        """Start an application that answers with its name and version."""
        return self._stack.enter_context(EchoBackend(name, version, **options))

    def workload(
        self, backend: Application, number: int, protocol: str = "HTTP", **options: Any
    ) -> dict[str, Any]:
        """Settings of a workload: `backend` is an endpoint of the service of its name, at port `number`."""
        port = {
            "number": number,
            "protocol": protocol,
            "app_port": backend.port,
            "inbound_port": listen_port(),
        }
        labels = {"version": backend.version} if backend.version else {}
        return {"service": backend.name, "labels": labels, "ports": [port], **options}

    def sidecar(
        self,
        node: str,
        *workloads: Mapping[str, Any],
        wait: bool = True,
        app: Sequence[str] = (),
        flags: Sequence[str] = (),
        **settings: Any,
    ) -> SidecarProcess:
        """Start a sidecar, and wait until it serves and its workloads are registered unless told not to."""
        told = {**self._settings, "etcd": {"endpoints": [self.etcd.url]}, **settings}
        if workloads:
            told["workloads"] = list(workloads)
        sidecar = SidecarProcess(node, self.root, told, app, flags)
        self.sidecars[node] = sidecar
        self._stack.callback(sidecar.remove)
        sidecar.start()
        if wait:
            sidecar.wait_ready()
            if workloads or app:
                self.wait_registered(sidecar)
        return sidecar

    def wait_registered(self, *sidecars: SidecarProcess) -> int:
        """Wait until these sidecars' registrations are in force everywhere; returns the revision."""
        for sidecar in sidecars:
            sidecar.wait_status(
                "registration", lambda status: status["registration"]["state"] == "registered"
            )
        return self.settle()

    def settle(self) -> int:
        """Wait until the newest that etcd holds is in force on every running sidecar; returns its revision.

        A deletion leaves nothing there to wait for: see `delete`.
        """
        found = self.client.list_prefix(self.client.settings.prefix)
        for sidecar in self.running():
            sidecar.wait_in_force(max((entry.mod_revision for entry in found.entries), default=0))
        return found.revision

    def put(self, *texts: str, wait: bool = True) -> int:
        """Publish YAML in one transaction; returns the revision, in force on every running sidecar."""
        manifests = [read_text(text) for text in texts]
        problems = [
            problem
            for manifest in manifests
            for problem in manifest.diagnostics
            if problem.level is Level.ERROR
        ]
        assert not problems, problems
        documents = [document.value for manifest in manifests for document in manifest.documents]
        done = publishing.put(self.client, *documents)
        if wait:
            for sidecar in self.running():
                sidecar.wait_in_force(done.revision)
        return done.revision

    def running(self) -> Iterator[SidecarProcess]:
        """Sidecars whose process lives."""
        for sidecar in self.sidecars.values():
            if sidecar.process is not None and sidecar.process.poll() is None:
                yield sidecar

    def delete(self, kind: str, name: str, *words: str, missing_ok: bool = False) -> None:
        """Delete an object; returns when that is in force on every sidecar."""
        ran = self.meshd("delete", kind, name, *words, "--yes", "--wait")
        is_missing = ran.returncode == NotFoundError.exit_status
        assert ran.returncode == 0 or (is_missing and missing_ok), ran.stdout + ran.stderr

    def meshd(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """`meshd WORDS...` against this mesh's etcd and sidecars, as a person would type it."""
        places = {"MESHD_ETCD": self.etcd.url, "MESHD_RUN_DIR": str(self.root / "run")}
        return subprocess.run(
            [sys.executable, "-m", "meshd.cli.main", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **places},
            check=False,
        )
