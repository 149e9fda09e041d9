"""Real processes for tests: etcd in a temporary directory, on ports that were free a moment ago.

Everything waits for a condition with a deadline; a wait that fails names what did not come and shows the
end of the process's log.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

import trio

from store.etcd.programs import find_program

__all__ = [
    "EtcdProcess",
    "Tls",
    "free_port",
    "free_ports",
    "start_cluster",
    "wait_until",
    "wait_until_async",
]

READY_S = 20.0
"""How long etcd may take to answer its first health question on a busy machine of two cores."""
START_TRIES = 5
"""Another process may take a free port before etcd binds it; then the start is tried on other ports."""

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


def free_port() -> int:
    """One port of 127.0.0.1 that is free now."""
    return free_ports(1)[0]


def wait_until(predicate: Callable[[], T], deadline_s: float, what: str) -> T:
    """Asks until the answer is true, and returns it; AssertionError names `what` after `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}; it did not come")
        time.sleep(0.01)


@overload
async def wait_until_async(
    predicate: Callable[[], Awaitable[T]], deadline_s: float, what: str
) -> T: ...
@overload
async def wait_until_async(predicate: Callable[[], T], deadline_s: float, what: str) -> T: ...
async def wait_until_async(predicate: Callable[[], object], deadline_s: float, what: str) -> object:
    """`wait_until` for trio; the predicate may be sync or async. Keeps nothing when it is cancelled."""
    end = trio.current_time() + deadline_s
    while True:
        answer = predicate()
        settled = await answer if isinstance(answer, Awaitable) else answer
        if settled:
            return settled
        if trio.current_time() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}; it did not come")
        await trio.sleep(0.01)


@dataclass(frozen=True)
class Tls:
    """Files for an etcd that speaks TLS to its clients."""

    ca: Path
    cert: Path
    key: Path
    require_client_cert: bool = True
    """Whether a client without a certificate of this CA is turned away."""


@dataclass
class EtcdProcess:
    """One etcd member. `start()` waits until it answers; data and ports stay the same over restarts.

    Usable as a context manager, which starts it and, at the end, kills it whatever its state.
    """

    directory: Path
    """Where its data and log go; made when absent."""
    flags: Sequence[str] = ()
    """More flags, for instance `("--auth-token-ttl", "5")`."""
    tls: Tls | None = None
    """Serve clients over TLS with these files."""
    name: str = "etcd"
    """Member name."""
    client_port: int = 0
    """Chosen at the first start; a clash then is answered with another choice."""
    peer_port: int = 0
    metrics_port: int = 0
    """Plain HTTP `/health` and `/metrics`, also where clients must use TLS."""
    fixed_ports: bool = False
    """Whether the ports were given by the maker (a cluster's members name each other's)."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """The endpoint for its fellow members."""
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self) -> int:
        """The process id; an error when it is not running."""
        assert self.process is not None, f"etcd {self.name} is not running"
        return self.process.pid

    @property
    def log(self) -> Path:
        """Its log, appended to over restarts."""
        return self.directory / f"{self.name}.log"

    def start(self, *, wait: bool = True) -> EtcdProcess:
        """Starts it on its data, and waits until it is healthy unless told not to."""
        assert self.process is None, f"etcd {self.name} is running already"
        self.directory.mkdir(parents=True, exist_ok=True)
        tries = 1 if self.fixed_ports else START_TRIES
        for left in reversed(range(tries)):
            if not self.fixed_ports:
                self.client_port, self.peer_port, self.metrics_port = free_ports(3)
            self._spawn()
            if not wait:
                return self
            try:
                self.wait_ready()
            except AssertionError:
                clash = "address already in use" in self.log_tail()
                self.kill()
                if not (clash and left):
                    raise
                continue
            break
        self.fixed_ports = True
        return self

    def wait_ready(self, deadline_s: float = READY_S) -> None:
        """Waits until it says that it is healthy (has a leader and can read)."""

        def settled() -> bool:
            assert self.process is not None, f"etcd {self.name} is not running"
            code = self.process.poll()
            assert code is None, f"etcd {self.name} ended with {code}:\n{self.log_tail()}"
            return self.is_healthy()

        wait_until(settled, deadline_s, f"etcd {self.name} to be healthy; see {self.log}")

    def is_healthy(self) -> bool:
        """Whether it answers its health question with yes, within a second."""
        return '"health":"true"' in self.http_get("/health")

    def http_get(self, path: str) -> str:
        """The body of `path` (`/health`, `/metrics`) on its plain HTTP port; empty when it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=1.0)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL, as a power cut; returns when it is gone. Does nothing when it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; returns when it is gone (after ten seconds it is killed)."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers; returns when every thread stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")

        def stands() -> bool:
            states = [
                (thread / "stat").read_text().rsplit(")", 1)[1] for thread in threads.iterdir()
            ]
            return all(state.split()[0] == "T" for state in states)

        wait_until(stands, 5.0, f"etcd {self.name} to stand still")

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, *, wait: bool = True) -> EtcdProcess:
        """Kills it where it runs, and starts it on the same data and ports."""
        self.kill()
        return self.start(wait=wait)

    def log_tail(self, bytes_max: int = 3000) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[-bytes_max:].decode(errors="replace")

    def __enter__(self) -> EtcdProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(find_program("etcd")), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", ""), "ETCD_UNSUPPORTED_ARCH": "arm64"},
            )

    def _arguments(self) -> list[str]:
        arguments = [
            *("--name", self.name),
            *("--data-dir", str(self.directory / f"{self.name}.data")),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
            *("--listen-metrics-urls", f"http://127.0.0.1:{self.metrics_port}"),
            "--logger=zap",
            "--log-level=warn",
            # Never --unsafe-no-fsync: etcd 3.5.1 then keeps its log in memory, and a kill loses acknowledged writes.
        ]
        if self.tls:
            arguments += ["--cert-file", str(self.tls.cert), "--key-file", str(self.tls.key)]
            if self.tls.require_client_cert:
                # The CA alone makes etcd ask for certificates, whatever --client-cert-auth says.
                arguments += ["--trusted-ca-file", str(self.tls.ca), "--client-cert-auth=true"]
        if "--initial-cluster" not in self.flags:
            arguments += ["--initial-cluster", f"{self.name}={self.peer_url}"]
            # Alone it need not wait a second for other candidates.
            arguments += ["--heartbeat-interval=20", "--election-timeout=200"]
        return [*arguments, *self.flags]

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        if how is not signal.SIGKILL:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait(10.0)


def start_cluster(directory: Path, size: int, flags: Sequence[str] = ()) -> list[EtcdProcess]:
    """Starts `size` members that form one cluster, and waits until each is healthy; the caller kills them."""
    ports = free_ports(3 * size)
    members = [
        EtcdProcess(
            directory,
            name=f"member{index}",
            client_port=ports[3 * index],
            peer_port=ports[3 * index + 1],
            metrics_port=ports[3 * index + 2],
            fixed_ports=True,
        )
        for index in range(size)
    ]
    whole = ",".join(f"{member.name}={member.peer_url}" for member in members)
    try:
        for member in members:
            member.flags = (*flags, "--initial-cluster", whole)
            member.start(wait=False)
        for member in members:
            member.wait_ready()
    except AssertionError:
        for member in members:
            member.kill()
        raise
    return members
