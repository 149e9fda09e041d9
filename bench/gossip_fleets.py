"""Fleets of the gossip bench: so many processes of one program, each at an address of loopback of its own.

What members say is read by one thread of the bench, which takes the time: the same clock and the same delay for every
program.
"""

from __future__ import annotations

import base64
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgpack

from bench.processes import wait_for

__all__ = ["Fleet", "Member", "MeshdProgram", "Program", "SerfProgram"]

PORT = 7946
TOP = Path(__file__).parents[1]
UP_WITHIN_S = 180.0
"""How long so many processes may take to start on a busy machine."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Member:
    """One process."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    said: list[str]
    rest: bytes = b""
    has_ended: bool = False


class Program(Protocol):
    """How one program is run and understood."""

    network: int
    """Its members are 127.`network`.0.x."""

    def command(self, name: str, address: str, folder: Path) -> Sequence[str]:
        """Starts a member that is alone."""
        ...

    def is_up(self, member: Member) -> bool:
        """Whether it takes `join`."""
        ...

    def join(self, member: Member, seed: str) -> None:
        """Tell it to join through a member; returns at once."""
        ...

    def understand(self, line: str) -> tuple[str, str] | None:
        """(`alive` or `dead`, member), where a line says so."""
        ...

    def close(self) -> None:
        """All its members have ended."""
        ...


class MeshdProgram:
    """`GossipShell` alone (`bench.gossip_member`)."""

    network = 101

    def __init__(self, home: Path) -> None:
        self._keys = home / "gossip.keys"
        self._keys.touch(mode=0o600)
        self._keys.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")

    def command(self, name: str, address: str, folder: Path) -> Sequence[str]:
        module = [sys.executable, "-m", "bench.gossip_member"]
        return [*module, name, address, str(PORT), str(folder), str(self._keys)]

    def is_up(self, member: Member) -> bool:
        return "ready" in member.said

    def join(self, member: Member, seed: str) -> None:
        assert member.process.stdin is not None
        member.process.stdin.write(f"join {seed}:{PORT}\n".encode())
        member.process.stdin.flush()

    def understand(self, line: str) -> tuple[str, str] | None:
        what, _, name = line.partition(" ")
        return (what, name) if what in ("alive", "dead") else None

    def close(self) -> None:
        return


class SerfProgram:
    """`serf agent`, LAN profile, encrypted; told to join over its RPC port, as `serf join` does."""

    network = 102
    _EVENT = re.compile(r"EventMember(Join|Failed): (\S+) ")

    def __init__(self) -> None:
        self._key = base64.b64encode(os.urandom(32)).decode()
        self._calls: list[socket.socket] = []
        """Answers are not waited for; open until the process ends."""

    def command(self, name: str, address: str, folder: Path) -> Sequence[str]:
        del folder  # it keeps nothing
        flags = {
            "node": name,
            "bind": f"{address}:{PORT}",
            "rpc-addr": f"{_rpc(address)}:7373",
            "profile": "lan",
            "encrypt": self._key,
            "log-level": "info",
        }
        return ["serf", "agent", *(f"-{flag}={value}" for flag, value in flags.items())]

    def is_up(self, member: Member) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((_rpc(member.address), 7373)) == 0

    def join(self, member: Member, seed: str) -> None:
        call = socket.create_connection((_rpc(member.address), 7373), timeout=30)
        for part in (
            {"Command": "handshake", "Seq": 0},
            {"Version": 1},
            {"Command": "join", "Seq": 1},
            {"Existing": [f"{seed}:{PORT}"], "Replay": False},
        ):
            call.sendall(msgpack.packb(part))
        self._calls.append(call)

    def understand(self, line: str) -> tuple[str, str] | None:
        found = self._EVENT.search(line)
        if found is None:
            return None
        return ("alive" if found[1] == "Join" else "dead", found[2])

    def close(self) -> None:
        while self._calls:
            self._calls.pop().close()


def _rpc(address: str) -> str:
    """Beside the fleet's network, so that what the bench itself says is not counted."""
    return address.replace("127.102.", "127.103.")


class Fleet:
    """Members of one program. Ends all of them when it is closed.

    Args:
        program: How it is run.
        home: Directory for its files.
        size: How many.
    """

    def __init__(self, program: Program, home: Path, size: int) -> None:
        self._program = program
        self._home = home
        self._names = [f"m{number:02}" for number in range(size)]
        self._members: dict[str, Member] = {}
        self._heard: dict[tuple[str, str, str], float] = {}
        """(what, observer, subject) to when it was last said."""
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._is_open = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def network(self) -> int:
        """Its members are 127.`network`.0.x."""
        return self._program.network

    def start(self) -> None:
        """Start all, each alone; returns when all are up."""
        for name in self._names:
            self._start(name)
        for name in self._names:
            self._wait_up(name)

    def join(self) -> float:
        """Tell all but the first to join through the first; seconds until all hold all alive."""
        began_s = time.monotonic()
        for name in self._names[1:]:
            self._join(name)
        pairs = [(one, other) for one in self._names for other in self._names if one != other]
        self._wait_said(f"{len(self._names)} members to join", "alive", pairs, began_s)
        return max(self._heard["alive", *pair] for pair in pairs) - began_s

    def kill(self, name: str) -> float:
        """SIGKILL to one; seconds until all others hold it dead."""
        killed_s = time.monotonic()
        self._members[name].process.kill()
        pairs = [(other, name) for other in self._names if other != name]
        self._wait_said(f"{name} to be dead at all others", "dead", pairs, killed_s)
        self._forget(self._members[name])
        return max(self._heard["dead", *pair] for pair in pairs) - killed_s

    def revive(self, name: str) -> None:
        """Start it again; returns when all hold it alive and it holds all alive."""
        began_s = time.monotonic()
        self._start(name)
        self._wait_up(name)
        self._join(name)
        others = [other for other in self._names if other != name]
        pairs = [pair for other in others for pair in ((other, name), (name, other))]
        self._wait_said(f"{name} to be alive again", "alive", pairs, began_s)

    def names(self) -> Sequence[str]:
        """All but the first, which others join through."""
        return self._names[1:]

    def cpu_s(self) -> float:
        """Processor time of all, so far."""
        return sum(_cpu_s(member.process.pid) for member in self._members.values())

    def rss_mib(self) -> float:
        """Resident memory of one, on average."""
        pages = [
            int(Path(f"/proc/{member.process.pid}/statm").read_text().split()[1])
            for member in self._members.values()
        ]
        return sum(pages) / len(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def false_deaths(self, since_s: float) -> int:
        """Deaths said since then."""
        with self._lock:
            return sum(1 for key, at in self._heard.items() if key[0] == "dead" and at > since_s)

    def close(self) -> None:
        """End all."""
        self._is_open = False
        self._thread.join()
        self._selector.close()
        for member in self._members.values():
            member.process.kill()
        for member in self._members.values():
            _end(member.process)
        self._program.close()

    def _start(self, name: str) -> None:
        address = f"127.{self.network}.0.{self._names.index(name) + 1}"
        folder = self._home / f"{self.network}-{name}"
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            self._program.command(name, address, folder),
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        member = Member(name, address, process, [])
        self._members[name] = member
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        with self._lock:
            self._selector.register(process.stdout, selectors.EVENT_READ, member)

    def _forget(self, member: Member) -> None:
        """A killed member: its output ends, and the thread lets it go."""
        wait_for(f"the end of {member.name}'s output", lambda: member.has_ended)
        _end(member.process)

    def _wait_up(self, name: str) -> None:
        member = self._members[name]

        def is_up() -> bool:
            if member.process.poll() is not None:
                raise RuntimeError(f"{name} ended: {' | '.join(member.said[-5:])}")
            return self._program.is_up(member)

        wait_for(f"{name} to come up", is_up, UP_WITHIN_S)

    def _join(self, name: str) -> None:
        member, first = self._members[name], self._members[self._names[0]]
        self._program.join(member, first.address)

    def _wait_said(
        self, what: str, said: str, pairs: Sequence[tuple[str, str]], since_s: float
    ) -> None:
        def is_so() -> bool:
            return all(self._heard.get((said, *pair), 0.0) >= since_s for pair in pairs)

        wait_for(what, is_so, 120.0)

    def _read(self) -> None:
        while self._is_open:
            with self._lock:
                ready = self._selector.select(0.0)
            if not ready:
                time.sleep(0.002)
                continue
            now_s = time.monotonic()
            for key, _ in ready:
                self._take(key.data, now_s)

    def _take(self, member: Member, now_s: float) -> None:
        assert member.process.stdout is not None
        piece = os.read(member.process.stdout.fileno(), 65_536)
        if not piece:
            with self._lock:
                self._selector.unregister(member.process.stdout)
            member.has_ended = True
            return
        *lines, member.rest = (member.rest + piece).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            member.said.append(text)
            found = self._program.understand(text)
            if found is not None:
                with self._lock:
                    self._heard[found[0], member.name, found[1]] = now_s


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a killed process, and close what led to it."""
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
