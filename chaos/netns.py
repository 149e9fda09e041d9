"""Test hosts as network namespaces on one switch, and the cutting of cables between them.

    mchaos-<run>-sw    a bridge; every packet between hosts passes its nftables table, which is where faults are
    mchaos-<run>-h1    10.77.0.1, one interface, default route into the switch that leads nowhere

Nothing of the machine's own network is touched, and no host reaches it. Everything that a run makes has its name, so
that what a killed run left can be found and removed (`clean`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = [
    "MOUNTED_AS",
    "PREFIX",
    "ChaosError",
    "Network",
    "clean",
    "cut",
    "cut_one_way",
    "leftovers",
    "lose",
    "run",
]

PREFIX = "mchaos-"
MOUNTED_AS = "mchaos"
"""What small disks are called in the list of mounts."""
KILLED_WITHIN_S = 10.0
"""A process that was killed and is there for longer is left to `leftovers`, with its namespace."""
SUBNET = "10.77.0"
QUEUE_MS = 400
"""How long a packet may wait at the end of a cable that carries little before it is lost, beyond `BURST_KB`."""
BURST_KB = 8
"""What such a cable takes at once. At 32 kbit/s that is two seconds' worth: 2.4 s were measured."""


class ChaosError(Exception):
    """The rig itself failed: nothing is said about the mesh."""


def run(*command: str, text: str | None = None) -> str:
    """Run a command of the system.

    Raises:
        ChaosError: It is not there, or failed; with what it said.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except OSError as problem:
        raise ChaosError(f"{command[0]} cannot be run: {problem}") from problem
    if done.returncode:
        raise ChaosError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Network:
    """One switch and its hosts.

    Args:
        name: Of the run; part of the names of all namespaces.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._addresses: dict[str, str] = {}
        self._rules: dict[str, tuple[str, ...]] = {}

    def namespace(self, host: str) -> str:
        """The namespace of a host."""
        return f"{PREFIX}{self._name}-{host}"

    def address(self, host: str) -> str:
        """The address of a host."""
        return self._addresses[host]

    def open(self) -> None:
        """Make the switch."""
        switch = self.namespace("sw")
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        self._load()

    def add(self, host: str) -> str:
        """Make a host and plug it in; returns its address."""
        number = len(self._addresses) + 1
        address = self._addresses[host] = f"{SUBNET}.{number}"
        switch, own = self.namespace("sw"), self.namespace(host)
        run("ip", "netns", "add", own)
        run(
            *("ip", "-n", own, "link", "add", "eth0", "type", "veth"),
            *("peer", "name", f"p{number}", "netns", switch),
        )
        run("ip", "-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
        run("ip", "-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", own, "link", "set", "eth0", "up")
        run("ip", "-n", own, "link", "set", "lo", "up")
        return address

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        """The command, to be run inside a host; its process is the command's own."""
        return ["ip", "netns", "exec", self.namespace(host), *command]

    def impose(self, name: str, rules: Iterable[str]) -> None:
        """Put the rules of a fault in force, in the place of those that it had; at once, with all others."""
        self._rules[name] = tuple(rules)
        self._load()

    def lift(self, name: str) -> None:
        """Take the rules of a fault back."""
        if self._rules.pop(name, None) is not None:
            self._load()

    def throttle(self, host: str, kbit_s: int) -> None:
        """Let a host's cable carry so much in each direction, behind a queue of `QUEUE_MS`; 0: as much as it can."""
        number = int(self.address(host).rpartition(".")[2])
        for namespace, device in ((host, "eth0"), ("sw", f"p{number}")):
            words = ("tc", "-n", self.namespace(namespace), "qdisc")
            if kbit_s:
                rate = (
                    "rate",
                    f"{kbit_s}kbit",
                    "burst",
                    f"{BURST_KB}kb",
                    "latency",
                    f"{QUEUE_MS}ms",
                )
                run(*words, "replace", "dev", device, "root", "tbf", *rate)
            else:
                run(*words, "del", "dev", device, "root")

    def close(self) -> None:
        """Remove everything, whatever state it is in."""
        for name in _namespaces(f"{PREFIX}{self._name}-"):
            _remove(name)

    def _load(self) -> None:
        rules = "\n".join(f"    {rule}" for several in self._rules.values() for rule in several)
        script = (
            "table bridge faults\ndelete table bridge faults\ntable bridge faults {\n"
            "  chain forward {\n    type filter hook forward priority 0; policy accept;\n"
            f"{rules}\n  }}\n}}\n"
        )
        run("ip", "netns", "exec", self.namespace("sw"), "nft", "-f", "-", text=script)


def cut(one: Iterable[str], other: Iterable[str]) -> list[str]:
    """Rules by which no packet passes between two groups of addresses, in either direction."""
    return [*cut_one_way(one, other), *cut_one_way(other, one)]


def cut_one_way(source: Iterable[str], target: Iterable[str]) -> list[str]:
    """Rules by which no packet passes from one group of addresses to another."""
    return [f"ip saddr {{ {', '.join(source)} }} ip daddr {{ {', '.join(target)} }} drop"]


def lose(percent: int, addresses: Iterable[str] = ()) -> list[str]:
    """Rules by which packets are lost at random: of these senders, or of all."""
    sender = f"ip saddr {{ {', '.join(addresses)} }} " if addresses else ""
    return [f"{sender}meta protocol ip numgen random mod 100 < {percent} drop"]


def leftovers(name: str = "") -> list[str]:
    """Namespaces, processes in them, and mounted disks, of one run or of all."""
    found = []
    for namespace in _namespaces(f"{PREFIX}{name}"):
        found.append(f"namespace {namespace}")
        found += [f"process {pid} in {namespace}" for pid in _pids(namespace)]
    return found + [f"disk {folder}" for folder in _mounted(f"{PREFIX}{name}")]


def clean(name: str = "") -> list[str]:
    """Remove what one earlier run left, or all; says what it was. Runs under way are among it."""
    found = leftovers(name)
    for namespace in _namespaces(f"{PREFIX}{name}"):
        _remove(namespace)
    for folder in _mounted(f"{PREFIX}{name}"):
        with contextlib.suppress(ChaosError):
            run("umount", "-l", folder)
    for place in Path("/tmp").glob(f"{PREFIX}{name}*"):
        found.append(f"folder {place}")
        shutil.rmtree(place, ignore_errors=True)
    return found


def _mounted(prefix: str) -> list[str]:
    rows = (line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines())
    return [row[1] for row in rows if row[0] == MOUNTED_AS and f"/{prefix}" in row[1]]


def _namespaces(prefix: str) -> list[str]:
    folder = Path("/run/netns")
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if one.name.startswith(prefix))


def _pids(namespace: str) -> list[int]:
    with contextlib.suppress(ChaosError):
        return [int(pid) for pid in run("ip", "netns", "pids", namespace).split()]
    return []


def _remove(namespace: str) -> None:
    end_s = time.monotonic() + KILLED_WITHIN_S
    while (pids := _pids(namespace)) and time.monotonic() < end_s:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if pids:
        return
    with contextlib.suppress(ChaosError):
        run("ip", "netns", "del", namespace)
