"""A captured host for tests: a mesh in a namespace of its own, a world beyond, clients of other users.

The test's own user, root, is the sidecar's: its traffic is not captured. Clients are forked as other users.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.harness.client_apart import client_apart
from tests.harness.mesh import MeshFixture
from tests.harness.namespaces import Host, World, as_user, own_host

__all__ = ["CLIENT", "CapturedMesh", "Curled", "captured_mesh", "say"]

CLIENT = 5001
"""User of clients that are captured."""
WAIT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Curled:
    """What curl got."""

    status: int
    body: str
    problem: str

    @property
    def seen(self) -> dict[str, Any]:
        """What an echo application says that it saw."""
        assert self.status == 200, self
        answer: dict[str, Any] = json.loads(self.body)
        return answer


@dataclass
class CapturedMesh:
    """The host, the world, the mesh."""

    host: Host
    world: World
    mesh: MeshFixture
    node: str = "h1"

    def capture(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`meshd-sidecar capture WORDS...` as a person would type it."""
        command = [sys.executable, "-m", "sidecar.agent.main", "capture", *words]
        if words[0] == "up":
            command += ["--config", str(self.mesh.root / f"{self.node}.toml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    @contextlib.contextmanager
    def captured(self, *words: str) -> Iterator[None]:
        """Rules are installed within the block."""
        self.capture("up", *words)
        try:
            yield
        finally:
            self.capture("down")

    def counted(self, rule: str) -> int:
        """Packets that a rule took."""
        document = json.loads(self.capture("status", "-o", "json").stdout)
        return sum(row["packets"] for row in document["rules"] if row["rule"] == rule)

    def curl(
        self,
        url: str,
        *words: str,
        user: int = CLIENT,
        cgroup: Path | None = None,
        resolver: str = "",
    ) -> Curled:
        """An unmodified client, as another user."""

        def asked() -> tuple[int, str, str]:
            done = subprocess.run(
                ["curl", "-sS", "-m", f"{WAIT_S:g}", "-w", "\n%{http_code}", *words, url],
                capture_output=True,
                text=True,
                check=False,
            )
            body, _, code = done.stdout.rpartition("\n")
            return int(code or 0), body, done.stderr.strip()

        return Curled(*as_user(user, asked, cgroup=cgroup, resolver=resolver))

    def as_client(self, deed: Callable[[], T], user: int = CLIENT) -> T:
        """What a captured client gets."""
        return as_user(user, deed)


def say(address: str, port: int, line: str = "hello", *, server_name: str = "") -> str:
    """One line sent over TCP (or TLS with a server name), and the line that came back; empty where it was closed."""
    with contextlib.ExitStack() as stack:
        stream: socket.socket = stack.enter_context(
            socket.create_connection((address, port), timeout=WAIT_S)
        )
        if server_name:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            stream = stack.enter_context(context.wrap_socket(stream, server_hostname=server_name))
        try:
            stream.sendall(f"{line}\n".encode())
            return stream.makefile().readline().strip()
        except ConnectionError:
            return ""


class _MeshInNamespace(MeshFixture):
    """Everything of it is started in the namespace of the calling thread."""

    _open_client = staticmethod(client_apart)


@contextlib.contextmanager
def captured_mesh(*addresses: str, **capture: Any) -> Iterator[CapturedMesh]:
    """A host, a world with these further addresses, and a mesh whose sidecars open capture listeners."""
    told = {"enabled": True, "user": "0", **capture}
    with (
        own_host() as host,
        host.world(*addresses) as world,
        _MeshInNamespace(capture=told) as mesh,
    ):
        yield CapturedMesh(host, world, mesh)
