"""Network namespaces for tests: a host of its own for this thread, and a world beyond it.

    with own_host() as host, host.world() as world:
        ...                      # sockets and processes that are made now are of the host's namespace
        with world.inside():     # and these of the world's
            server = TcpEcho("db", 3306, address=world.address)

Neither namespace has a name: they end with the processes and threads that are in them, whatever happens to the test.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.harness.processes import wait_until

__all__ = ["Host", "World", "as_user", "needs_namespaces", "own_host", "run"]

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
HOST_V4, WORLD_V4 = "10.77.0.1", "10.77.0.2"
HOST_V6, WORLD_V6 = "fd77::1", "fd77::2"

T = TypeVar("T")

needs_namespaces = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and rules of the kernel need root"),
    pytest.mark.skipif(
        not all(shutil.which(name) for name in ("ip", "nft", "unshare", "curl")),
        reason="ip, nft, unshare and curl are needed",
    ),
]
"""Marks of a module whose tests are in namespaces."""

_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str) -> str:
    """A command that must succeed; returns what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class World:
    """What lies beyond the host: a namespace of its own, reached by one link."""

    pid: int
    address: str = WORLD_V4
    address_v6: str = WORLD_V6

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts, is in the world."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(here)
            os.close(here)
            os.close(there)


@dataclass
class Host:
    """The namespace that this thread is in."""

    address: str = HOST_V4
    address_v6: str = HOST_V6

    @contextlib.contextmanager
    def world(self, *further: str) -> Iterator[World]:
        """The world beyond, with more addresses if need be; the host's default route leads there."""
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        try:
            own = os.readlink("/proc/thread-self/ns/net")
            wait_until(
                lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own,
                20,
                "the world's namespace",
            )
            world = World(holder.pid)
            run("ip", "link", "add", "h0", "type", "veth", "peer", "name", "w0")
            run("ip", "link", "set", "w0", "netns", str(holder.pid))
            _address("h0", f"{HOST_V4}/24", f"{HOST_V6}/64")
            with world.inside():
                run("ip", "link", "set", "lo", "up")
                _address("w0", f"{WORLD_V4}/24", f"{WORLD_V6}/64", *further)
            run("ip", "route", "add", "default", "via", WORLD_V4)
            run("ip", "-6", "route", "add", "default", "via", WORLD_V6)
            yield world
        finally:
            holder.kill()
            holder.wait()


def _address(link: str, *addresses: str) -> None:
    for address in addresses:
        extra = ("nodad",) if ":" in address else ()
        run("ip", "address", "add", address, "dev", link, *extra)
    run("ip", "link", "set", link, "up")


def _see_resolver(address: str) -> None:
    """Give this process an /etc/resolv.conf of its own."""
    if _libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"nameserver {address}\n")
        file.flush()
        os.chmod(file.name, 0o644)
        run("mount", "--bind", file.name, str(Path("/etc/resolv.conf").resolve()))


@contextlib.contextmanager
def own_host() -> Iterator[Host]:
    """A namespace of its own for this thread and all that it starts."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        run("ip", "link", "set", "lo", "up")
        yield Host()
    finally:
        _enter(before)
        os.close(before)


def as_user(
    user: int, deed: Callable[[], T], *, cgroup: Path | None = None, resolver: str = ""
) -> T:
    """What `deed` returns when it is done by another user, in a process of its own.

    Args:
        user: Its number.
        deed: What is done.
        cgroup: Control group that the process enters.
        resolver: Address in its /etc/resolv.conf, where it is to see one of its own.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            if cgroup is not None:
                (cgroup / "cgroup.procs").write_text("0")
            if resolver:
                _see_resolver(resolver)
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            answer: object = deed()
        except BaseException as problem:  # noqa: BLE001 - told to the parent, whatever it is
            answer = problem
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pickle.load(pipe)
    os.waitpid(child, 0)
    if isinstance(found, BaseException):
        raise found
    answer_of: T = found
    return answer_of
