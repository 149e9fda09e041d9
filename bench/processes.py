"""Processes of a bench: started with their output in a file, waited for, ended whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sidecar.agent.envoy_record import EnvoyRecord
from store.errors import MeshError
from store.etcd.client import EtcdClient
from store.etcd.programs import find_program
from store.etcd.settings import EtcdSettings
from store.socket_http import SocketConnection

__all__ = ["Processes", "Sidecar", "free_port", "get_over_socket", "wait_for"]

_NO_CACHE = "PYTHONDONTWRITEBYTECODE"
"""Taken out of the environment: with it every start compiles the sources anew, and no installation runs so."""
READY_S = 60.0
"""How long anything may take to get ready on a busy machine."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def wait_for(
    what: str, is_so: Callable[[], bool], deadline_s: float = READY_S, *, every_s: float = 0.005
) -> None:
    """Return when `is_so`, which is looked at every `every_s` seconds.

    Raises:
        TimeoutError: It was not within the deadline.
    """
    end = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:g} s for {what}; it did not come")
        time.sleep(every_s)


def get_over_socket(path: Path, target: str) -> bytes:
    """Body of `GET target` from an HTTP server on a unix socket."""
    connection = SocketConnection(path, READY_S)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    finally:
        connection.close()


class Sidecar:
    """One `meshd-sidecar run` with its Envoy.

    Args:
        home: Directory of its run and data files.
        node: Its node id.
        etcd: Endpoint of etcd.
        options: More settings, in TOML.
    """

    def __init__(self, home: Path, node: str, etcd: str, options: str = "") -> None:
        self.port = free_port()
        self.node = node
        self._home = home
        self._own = home / "run" / node
        self._etcd = etcd
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._home / f"{self.node}.log"

    def start(self) -> None:
        """Start it; it is not yet ready when this returns."""
        config = self._home / f"{self.node}.toml"
        config.write_text(
            f'node = "{self.node}"\nrun_dir = "{self._home}/run"\ndata_dir = "{self._home}/data"\n'
            f"outbound_port = {self.port}\n{self._options}\n"
            f'[etcd]\nendpoints = ["{self._etcd}"]\n',
            encoding="utf-8",
        )
        program = str(Path(sys.executable).parent / "meshd-sidecar")
        self.process = spawn([program, "run", "--config", str(config)], self.log)

    @property
    def pid(self) -> int:
        """Process id of the sidecar."""
        assert self.process is not None
        return self.process.pid

    def envoy_pid(self) -> int:
        """Process id of its Envoy."""
        record = EnvoyRecord.read(self._own / "envoy.pid")
        assert record is not None, f"{self.node} has no Envoy"
        return record.pid

    def envoy_counter(self, name: str) -> int:
        """One of its Envoy's counters or gauges, by its whole name."""
        text = get_over_socket(self._own / "admin.sock", f"/stats?filter=^{re.escape(name)}$")
        return int(text.rpartition(b": ")[2])

    def status(self) -> Any:
        """What it says of itself."""
        return json.loads(get_over_socket(self._own / "status.sock", "/v1/status"))

    def metric(self, name: str) -> float:
        """One of its own metrics that has no labels."""
        text = get_over_socket(self._own / "status.sock", "/metrics").decode()
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")
        )

    def rss_mib(self) -> float:
        """Resident memory of the sidecar, in MiB."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self) -> None:
        """End the sidecar at once; its Envoy stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """End the sidecar and its Envoy."""
        self.kill()
        record = EnvoyRecord.read(self._own / "envoy.pid")
        if record is not None and record.is_running():
            os.kill(record.pid, signal.SIGKILL)
            wait_for(f"the end of Envoy {record.pid}", lambda: not record.is_running(), 5.0)


class Processes(ExitStack):
    """Everything that a bench started under one directory; all of it ends with the `with` block."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home

    def etcd(self) -> EtcdClient:
        """An empty etcd, answering; the client's endpoint is its URL."""
        client_port, peer_port = free_port(), free_port()
        url, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        flags = {
            "name": "bench",
            "data-dir": str(self.home / "etcd"),
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"bench={peer}",
            "log-level": "warn",
        }
        command = [
            str(find_program("etcd")),
            *(f"--{name}={value}" for name, value in flags.items()),
        ]
        self.spawn(command, self.home / "etcd.log")
        client = EtcdClient(EtcdSettings(endpoints=(url,)))
        self.callback(client.close)

        def answers() -> bool:
            try:
                client.get("/ready", timeout_s=1.0)
            except MeshError:
                return False
            return True

        wait_for("etcd's first answer", answers)
        return client

    def sidecar(self, node: str, etcd: str, options: str = "") -> Sidecar:
        """A started sidecar."""
        sidecar = Sidecar(self.home, node, etcd, options)
        self.callback(sidecar.end)
        sidecar.start()
        return sidecar

    def spawn(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A process that ends with this block."""
        process = spawn(command, log, environment)

        def end() -> None:
            process.kill()
            process.wait()

        self.callback(end)
        return process


def spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A process with its output appended to a file."""
    kept = {name: value for name, value in os.environ.items() if name != _NO_CACHE}
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**kept, **(environment or {})},
            # As the sidecar starts Envoy: Linux shares processors out among sessions (autogroup) on a busy machine.
            start_new_session=True,
        )
