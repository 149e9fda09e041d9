"""Gossip shells on loopback: real sockets, no Envoy, no etcd."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import trio

from sidecar.agent.gossip_keys import EpochFile, KeyringFile, host_signer
from sidecar.agent.gossip_shell import GossipShell, Place, Told
from sidecar.agent.seeds import Seeds
from sidecar.gossip import LAN, GossipSettings, Status

__all__ = ["FAST", "KEY", "OTHER_KEY", "Gossiper"]

KEY = base64.b64encode(b"1" * 32).decode()
OTHER_KEY = base64.b64encode(b"2" * 32).decode()
FAST = replace(
    LAN,
    probe_interval_s=0.2,
    probe_timeout_s=0.08,
    gossip_interval_s=0.05,
    exchange_gap_s=0.5,
    join_retry_s=0.2,
    announce_interval_s=1.0,
    stall_s=0.2,
    leave_s=1.0,
)
"""The LAN profile five times as fast."""


class Gossiper:
    """One member.

    Args:
        folder: Where its files lie.
        name: Its node id.
        seeds: `address:port` of others.
        key: The shared key.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        seeds: Iterable[str] = (),
        *,
        key: str = KEY,
        mesh: str = "mesh",
        settings: GossipSettings = FAST,
        port: int = 0,
    ) -> None:
        self.name = name
        own = folder / name
        own.mkdir(exist_ok=True)
        keyring = own / "gossip.keys"
        if not keyring.exists():
            keyring.touch(mode=0o600)
            keyring.write_text(key + "\n")
        self.told: list[Told] = []
        self.shell = GossipShell(
            Place(node=name, advertise="127.0.0.1", bind="127.0.0.1", port=port),
            keys=KeyringFile(keyring, mesh),
            signer=host_signer(own / "host.key")[0],
            epochs=EpochFile(own / "epoch"),
            seeds=Seeds(tuple(seeds)),
            settings=settings,
        )
        self.shell.listen(self.told.append)
        self._life = trio.CancelScope()

    @property
    def address(self) -> str:
        """`address:port`."""
        return self.shell.address

    def held(self, *statuses: Status) -> frozenset[str]:
        """Whom it holds so."""
        return self.shell.view().names(*statuses)

    async def start(self, nursery: trio.Nursery) -> Gossiper:
        """Run it until `kill` or the end of the nursery."""

        async def run(task_status: trio.TaskStatus[None]) -> None:
            with self._life:
                await self.shell.run(task_status=task_status)

        await nursery.start(run)
        return self

    def kill(self) -> None:
        """End it without goodbye: to others it looks like a killed process."""
        self._life.cancel()
