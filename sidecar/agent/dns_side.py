"""DNS of this host: a server for each captured context, and the virtual addresses behind their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from sidecar.agent.dns_server import Answer, DnsServer
from sidecar.agent.kept_sockets import KeptSockets
from sidecar.agent.own_address import has_ipv6
from sidecar.agent.resolvers import Resolvers
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.virtual_address_file import VirtualAddressFile
from sidecar.dns.answers import answered
from sidecar.mesh.view import View
from sidecar.mesh.virtual_addresses import VirtualAddresses

__all__ = ["DnsSide"]


@dataclass
class DnsSide:
    """Off unless captured traffic has its DNS captured, too."""

    settings: SidecarSettings
    addresses: VirtualAddresses | None = None
    """Virtual addresses; None where nothing is captured by name."""
    servers: dict[str, DnsServer] = field(default_factory=dict)
    """By context."""

    def __post_init__(self) -> None:
        capture = self.settings.capture
        self._file = VirtualAddressFile(self.settings.data_dir / self.settings.node)
        if not (capture.enabled and capture.dns and self.settings.role == "sidecar"):
            return
        ipv6 = has_ipv6()
        self.addresses = self._file.load(ipv6=ipv6)
        self._views: Mapping[str, View] = {}
        resolvers = Resolvers(capture.dns_servers)
        self._sockets = KeptSockets()
        for name, (_, port) in self.settings.capture_ports().items():
            self.servers[name] = DnsServer(
                port, self._answer_of(name), resolvers.addresses, ipv6=ipv6, sockets=self._sockets
            )

    def follow(self, views: Mapping[str, View]) -> None:
        """Answer from these views from now on, and keep the addresses that they gave."""
        if self.addresses is not None:
            self._views = views
            self._file.keep(self.addresses.take_new())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled; `started` once every port is bound."""
        async with trio.open_nursery() as nursery:
            for server in self.servers.values():
                await nursery.start(server.run)
            if self.addresses is not None:
                self._sockets.release_others()
            task_status.started()

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """What each context's answers did."""
        return [
            {
                "context": name,
                "answered": server.answered,
                "forwarded": server.forwarded,
                "dropped": server.dropped,
            }
            for name, server in self.servers.items()
        ]

    def _answer_of(self, context: str) -> Answer:
        def answer(query: bytes, bytes_max: int) -> bytes | None:
            view = self._views.get(context)
            if view is None:
                return None
            found = answered(view, query, bytes_max=bytes_max)
            if self.addresses is not None:
                self._file.keep(self.addresses.take_new())
            return found

        return answer
