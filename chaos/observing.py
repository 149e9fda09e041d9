"""Looks at every host twice a second: what its sidecar says, what its Envoy uses, what its processes take."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from chaos.asking import ask
from chaos.history import Ejected, History, Look, Usage
from chaos.processes import usage_of
from chaos.rig import Host, Rig

__all__ = ["Observer"]

EVERY_S = 0.5
USAGE_EVERY = 4
"""Looks between two at what processes use."""
_MEMBERSHIP = re.compile(r"cluster\.outbound\|\d+\|\|(web)\.[^.]+\..*\.membership_(healthy|total)")


class Observer:
    """Fills a history with looks.

    Args:
        rig: What to look at.
        history: Where looks go.
    """

    def __init__(self, rig: Rig, history: History) -> None:
        self._rig = rig
        self._history = history
        self._backends = {host.address: host.name for host in rig.hosts.values()}

    async def run(self) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            for host in self._rig.hosts.values():
                nursery.start_soon(self._watch, host)
            nursery.start_soon(self._usages)

    async def _watch(self, host: Host) -> None:
        while True:
            await self.look(host)
            await trio.sleep(EVERY_S)

    async def look(self, host: Host) -> None:
        """One look at one host; nothing is recorded where its sidecar does not answer."""
        at_s = time.monotonic()
        status = await trio.to_thread.run_sync(host.status)
        if status is None:
            return
        ejections = await trio.to_thread.run_sync(ask, host.status_socket, "/v1/ejections")
        target = "/stats?format=json&filter=cluster.outbound.*membership_(healthy|total)"
        stats = await trio.to_thread.run_sync(ask, host.admin_socket, target)
        again = await trio.to_thread.run_sync(ask, host.status_socket, "/v1/ejections")
        # What began or ended while Envoy was asked is in one of the two.
        imposed = {*_imposed(ejections or {}), *_imposed(again or {})}
        self._history.looks.append(
            self._read(at_s, host.name, status, ejections or {}, stats or {}, imposed)
        )

    def _read(
        self,
        at_s: float,
        host: str,
        status: Mapping[str, Any],
        ejections: Mapping[str, Any],
        stats: Mapping[str, Any],
        imposed: Iterable[str],
    ) -> Look:
        config = status["config"]
        usable: dict[str, int] = {}
        listed: dict[str, int] = {}
        for row in stats.get("stats", ()):
            named = _MEMBERSHIP.fullmatch(row.get("name", ""))
            if named is not None:
                (usable if named[2] == "healthy" else listed)[named[1]] = int(row["value"])
        return Look(
            at_s,
            host,
            str(config["epoch"]),
            int(config["revision_received"]),
            int(config["revision_in_force"]),
            str(config["hash"]),
            str(config.get("epoch_in_force", config["epoch"])),  # earlier versions do not tell it
            str(config["state"]),
            str(config["source"]),
            tuple(self._ejected(at_s, ejections)),
            usable,
            listed,
            tuple(sorted(imposed)),
        )

    def _ejected(self, at_s: float, ejections: Mapping[str, Any]) -> list[Ejected]:
        found = []
        for row in ejections.get("endpoints", ()):
            if row.get("state") == "ejected":
                address = str(row["endpoint"]).rpartition(":")[0]
                left_s = row.get("until_s")
                until_s = at_s + float(left_s) if left_s is not None else at_s
                backend = self._backends.get(address, "")
                found.append(
                    Ejected(str(row["destination"]), str(row["endpoint"]), backend, until_s)
                )
        return found

    async def _usages(self) -> None:
        while True:
            at_s = time.monotonic()
            processes = [("sidecar", one.name, one.sidecar.pid) for one in self._rig.hosts.values()]
            processes += [("envoy", one.name, one.envoy_pid) for one in self._rig.hosts.values()]
            processes += [("etcd", name, one.pid) for name, one in self._rig.etcd.items()]
            for process, host, pid in processes:
                used = usage_of(pid) if pid is not None else None
                if used is not None and pid is not None:
                    self._history.usages.append(Usage(at_s, host, process, pid, *used))
            await trio.sleep(EVERY_S * USAGE_EVERY)


def _imposed(ejections: Mapping[str, Any]) -> list[str]:
    """What a sidecar has its Envoy leave out on the mesh's word; see `Look.imposed`."""
    return [
        f"{row['destination']} {row['endpoint']}"
        for row in ejections.get("endpoints", ())
        if row.get("imposed") == "ejected"
    ]
