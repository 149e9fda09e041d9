"""What is known of Envoy's process, connection and state, for status and readiness; no decision is taken here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from sidecar.agent.envoy import EnvoyEvent, EnvoyExited, EnvoyNotReplaced, EnvoyStarted
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.log import log
from store.errors import AgentUnavailable

__all__ = ["EnvoyWatch"]

ADMIN_RETRY_S = 0.2
"""Pause between looks at an Envoy whose admin socket does not answer yet."""
ADMIN_WITHIN_S = 2.0
"""How long one look may take: a frozen Envoy accepts and says nothing."""


class EnvoyWatch:
    """Remembers the events of one Envoy."""

    def __init__(self) -> None:
        self.is_current = False
        """Whether Envoy said on its present stream that all of some state is in force."""
        self.restarts = 0
        """Starts after the first."""
        self._stream: int | None = None
        self._pid: int | None = None
        self._adopted = False
        self._has_run = False
        self._since_s = 0.0
        self._error = ""
        self._outdated = False
        self._not_replaced = ""
        self._version = ""
        self._new = trio.Event()

    @property
    def connected(self) -> bool:
        """Whether Envoy's ADS stream is open."""
        return self._stream is not None

    def opened(self, stream: int) -> None:
        """A stream was opened; it may be another Envoy, which has nothing yet."""
        self._stream, self.is_current = stream, False
        self._new.set()
        log.info("envoy_connected")

    def closed(self, stream: int) -> None:
        """A stream ended; one that a newer stream replaced is of no interest."""
        if stream == self._stream:
            self._stream, self.is_current = None, False
            log.warning("envoy_disconnected")

    def note(self, event: EnvoyEvent, now_s: float) -> None:
        """Take an event of the process."""
        match event:
            case EnvoyStarted():
                self.restarts += self._has_run and not event.took_over
                self._has_run = True
                self._pid, self._since_s, self._adopted = event.pid, now_s, event.adopted
                self._not_replaced = ""
                name = "envoy_replaced" if event.took_over else "envoy_started"
                log.info(name, pid=event.pid, adopted=event.adopted)
                self._outdated = event.outdated
                if event.outdated:
                    log.info(
                        "envoy_outdated",
                        reason="it was started with other settings, or is another program",
                    )
            case EnvoyNotReplaced():
                self._not_replaced = event.reason
                log.error("envoy_not_replaced", pid=event.pid, reason=event.reason)
            case EnvoyExited():
                self._pid, self._since_s = None, now_s
                self._error = f"ended with status {event.status}: {event.log_tail[-500:]}".strip()
                log.error(
                    "envoy_ended",
                    pid=event.pid,
                    status=event.status,
                    ran_s=round(event.ran_s, 3),
                    retry_in_s=event.retry_in_s,
                    log_tail=event.log_tail[-2000:],
                )

    async def learn_versions(self, admin: AdminClient) -> None:
        """Ask each Envoy that connects which version it is, until cancelled."""
        while True:
            await self._new.wait()
            self._new = trio.Event()
            while self.connected:
                try:
                    with trio.move_on_after(ADMIN_WITHIN_S):
                        self._version = _version(await admin.server_info())
                        break
                except AgentUnavailable:
                    await trio.sleep(ADMIN_RETRY_S)

    def describe(self, now_s: float) -> dict[str, Any]:
        """The `envoy` part of the status."""
        state = "running" if self._pid is not None else "backoff" if self._has_run else "starting"
        if self._pid is None and self.connected:
            state = "running"  # one that a unit of its own runs
        return {
            "state": state,
            "version": self._version,
            "pid": self._pid,
            "adopted": self._adopted,
            "connected": self.connected,
            "restarts": self.restarts,
            "outdated": self._outdated,
            "not_replaced": self._not_replaced,
            "uptime_s": round(now_s - self._since_s, 3) if self._pid is not None else 0.0,
            "error": self._error if self._pid is None else "",
        }


def _version(server_info: Mapping[str, Any]) -> str:
    """`1.40.0` of `<commit>/1.40.0/Clean/RELEASE/BoringSSL`."""
    parts = str(server_info.get("version", "")).split("/")
    return parts[1] if len(parts) > 1 else parts[0]
