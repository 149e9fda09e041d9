"""One real `meshd-sidecar` with its Envoy: started, asked, killed, looked into."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sidecar.agent.envoy_record import EnvoyRecord
from store.socket_http import SocketConnection
from tests.harness.load import Load, Reply, send
from tests.harness.processes import wait_until

__all__ = ["SidecarProcess", "listen_port"]

READY_S = 60.0
"""How long a sidecar with its Envoy may take to come up on a busy machine of two cores."""
ASK_S = 45.0
"""How long one request or one wait for a revision may take."""
LISTEN_PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections: those may take a port that was free a moment ago."""

_TRIED = itertools.count(random.SystemRandom().randrange(len(LISTEN_PORTS)))


def listen_port() -> int:
    """A port of loopback for a listener that is opened later, by Envoy."""
    for step in _TRIED:
        port = LISTEN_PORTS[step * 7 % len(LISTEN_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the counter has no end")


def _get(
    path: Path,
    target: str,
    timeout_s: float = ASK_S,
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, str]:
    """Status and body of a page on a unix socket; status 0 when nobody answers there."""
    connection = SocketConnection(path, timeout_s)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


@dataclass
class SidecarProcess:
    """One `meshd-sidecar` and the Envoy that it drives."""

    node: str
    root: Path
    """Directory of the mesh."""
    settings: Mapping[str, Any]
    """Nested settings, written as the sidecar's TOML file."""
    app: Sequence[str] = ()
    """Command of an application that it runs."""
    flags: Sequence[str] = ()
    """More words on its command line."""
    port: int = field(default_factory=listen_port)
    """The outbound listener."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def run_dir(self) -> Path:
        """Where its sockets are."""
        return self.root / "run" / self.node

    @property
    def data_dir(self) -> Path:
        """Where its last known good and Envoy's log are."""
        return self.root / "data" / self.node

    @property
    def log(self) -> Path:
        """Its own log."""
        return self.root / f"{self.node}.log"

    def start(self) -> SidecarProcess:
        """Start the process; does not wait."""
        assert self.process is None, f"sidecar {self.node} is running already"
        told = {
            "node": self.node,
            "run_dir": str(self.root / "run"),
            "data_dir": str(self.root / "data"),
            "address": "127.0.0.1",
            "outbound_port": self.port,
            **self.settings,
        }
        config = self.root / f"{self.node}.toml"
        config.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in told.items()))
        command = [sys.executable, "-m", "sidecar.agent.main", "run", "--config", str(config)]
        command += self.flags
        if self.app:
            command += ["--", *self.app]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def wait_ready(self) -> SidecarProcess:
        """Wait until a configuration is in force in its Envoy."""

        def ready() -> bool:
            assert self.process is not None, f"sidecar {self.node} is not running"
            code = self.process.poll()
            assert code is None, f"sidecar {self.node} ended with {code}:\n{self.log_tail()}"
            return self.page("/readyz")[0] == 200

        try:
            wait_until(ready, READY_S, f"sidecar {self.node} to be ready")
        except AssertionError as problem:
            raise AssertionError(f"{problem}\n{self.log_tail()}") from problem
        return self

    def page(
        self,
        target: str,
        timeout_s: float = ASK_S,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> tuple[int, str]:
        """A page of its status API."""
        return _get(self.run_dir / "status.sock", target, timeout_s, method, body)

    def status(self) -> dict[str, Any]:
        """Its status."""
        code, text = self.page("/v1/status")
        assert code == 200, f"sidecar {self.node} does not answer ({code}):\n{self.log_tail()}"
        answer: dict[str, Any] = json.loads(text)
        return answer

    def wait_status(
        self, what: str, predicate: Callable[[dict[str, Any]], object], deadline_s: float = ASK_S
    ) -> dict[str, Any]:
        """Wait until the status is so; the failure shows what it was."""
        end = time.monotonic() + deadline_s
        while True:
            status = self.status()
            if predicate(status):
                return status
            assert time.monotonic() < end, (
                f"{self.node}: {what} did not come; status {json.dumps(status, indent=1)[:6000]}"
            )
            time.sleep(0.02)

    def wait_in_force(self, revision: int, deadline_s: float = ASK_S) -> dict[str, Any]:
        """Wait until Envoy has the revision, or a later one, in force."""
        target = f"/v1/in-force?revision={revision}&timeout_s={deadline_s}"
        code, text = self.page(target, deadline_s + 5)
        assert code == 200, f"{self.node}: {revision} not in force: {text}\n{self.log_tail()}"
        answer: dict[str, Any] = json.loads(text)
        return answer

    def wait_last_good(self, revision: int) -> None:
        """Wait until its disk holds the revision, or a later one."""
        self.wait_status(
            f"revision {revision} on disk",
            lambda status: status["last_known_good"]["revision"] >= revision,
        )

    def trace(self, url: str, *, method: str = "GET") -> dict[str, Any]:
        """Where it says that a request would go."""
        code, text = self.page(f"/v1/trace?method={method}&url={quote(url, safe='')}")
        assert code == 200, text
        answer: dict[str, Any] = json.loads(text)
        return answer

    def connect(self) -> http.client.HTTPConnection:
        """A connection to its outbound listener, for `send`."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ASK_S)

    def ask(self, host: str, path: str = "/", **options: Any) -> Reply:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return send(connection, host, path, **options)
        finally:
            connection.close()

    def load(self, host: str, path: str = "/", **options: Any) -> Load:
        """A steady stream of requests; see `Load`."""
        return Load(self.port, host, path, **options)

    def envoy_pid(self) -> int | None:
        """Process id of its running Envoy; None when there is none."""
        record = EnvoyRecord.read(self.run_dir / "envoy.pid")
        return record.pid if record is not None and record.is_running() else None

    def envoy_stats(self, pattern: str) -> dict[str, int]:
        """Envoy's own counters and gauges."""
        code, text = _get(
            self.run_dir / "admin.sock", f"/stats?format=json&filter={quote(pattern)}"
        )
        assert code == 200, f"Envoy of {self.node} does not answer ({code})"
        rows = json.loads(text)["stats"]
        return {row["name"]: row["value"] for row in rows if "value" in row}

    def envoy_page(self, target: str) -> str:
        """A page of its Envoy's admin interface."""
        code, text = _get(self.run_dir / "admin.sock", target)
        assert code == 200, f"Envoy of {self.node} does not answer ({code})"
        return text

    def envoy_resources(self) -> dict[str, str]:
        """Each dynamic resource that Envoy has, by kind and name, and when Envoy took it."""
        return dict(_taken(json.loads(self.envoy_page("/config_dump?include_eds"))))

    def kill(self) -> None:
        """SIGKILL to the sidecar, not to Envoy; returns when it is gone."""
        self.end(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The sidecar, not Envoy, stands still: alive, and silent to everybody."""
        assert self.process is not None, f"sidecar {self.node} is not running"
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self) -> None:
        """End `frozen` early."""
        assert self.process is not None, f"sidecar {self.node} is not running"
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 15.0) -> int:
        """Signal the sidecar and wait for its end; returns its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        return self.wait_ended(deadline_s, f"of {number.name}")

    def wait_ended(self, deadline_s: float, why: str) -> int:
        """Wait for its end, and have it killed when that does not come; returns its exit status."""
        process, self.process = self.process, None
        assert process is not None, f"sidecar {self.node} is not running"
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired as problem:
            process.kill()
            process.wait()
            raise AssertionError(
                f"{self.node} did not end within {deadline_s} s {why}:\n{self.log_tail()}"
            ) from problem

    def kill_envoy(self) -> int:
        """SIGKILL to Envoy; returns the process id that it had."""
        pid = self.envoy_pid()
        assert pid is not None, f"Envoy of {self.node} is not running"
        os.kill(pid, signal.SIGKILL)
        return pid

    def remove(self) -> None:
        """End everything of it, whatever its state."""
        self.kill()
        with contextlib.suppress(AssertionError, ProcessLookupError):
            self.kill_envoy()

    def log_tail(self, bytes_max: int = 3000) -> str:
        """The end of its log and of Envoy's."""
        files = [file for file in (self.log, self.data_dir / "envoy.log") if file.exists()]
        ends = [file.read_bytes()[-bytes_max:].decode(errors="replace") for file in files]
        return "\n".join(f"--- {file.name}\n{end}" for file, end in zip(files, ends, strict=True))


def _taken(dump: object, kind: str = "") -> Iterator[tuple[str, str]]:
    """(kind and name, time) of everything in a configuration dump that carries a time."""
    if isinstance(dump, list):
        for item in dump:
            yield from _taken(item, kind)
    elif isinstance(dump, dict):
        if "last_updated" in dump:
            yield f"{kind} {_name_in(dump)}", dump["last_updated"]
        for key, value in dump.items():
            yield from _taken(value, key)


def _name_in(dump: Mapping[str, Any]) -> str:
    bodies = [value for value in dump.values() if isinstance(value, dict)]
    names = [body.get("name") or body.get("cluster_name") for body in (dump, *bodies)]
    return next((name for name in names if name), "")


def _toml(value: object) -> str:
    """A value as inline TOML; JSON's texts, numbers and booleans are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
