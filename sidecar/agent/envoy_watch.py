"""What is known of Envoy's process and connection, for status: no decision is taken here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio

from sidecar.agent.envoy import EnvoyEvent, EnvoyExited, EnvoyStarted
from sidecar.agent.log import log

__all__ = ["EnvoyWatch"]


class EnvoyWatch:
    """Remembers the events of one Envoy."""

    def __init__(self) -> None:
        self.connected = False
        """Whether Envoy's ADS stream is open."""
        self.restarted = False
        """Whether the last event was a start after an end."""
        self._pid: int | None = None
        self._adopted = False
        self._starts = 0
        self._since_s = 0.0
        self._error = ""
        self._version = ""
        self._new = trio.Event()

    def note(self, event: EnvoyEvent, now_s: float) -> None:
        """Take an event of the process."""
        self.restarted = False
        match event:
            case EnvoyStarted():
                self._starts += 1
                self.restarted = self._starts > 1
                self._pid, self._since_s, self._adopted = event.pid, now_s, event.adopted
                if not event.adopted:
                    self._error = ""
                log.info("envoy_started", pid=event.pid, adopted=event.adopted)
                if event.outdated:
                    log.warning("envoy_outdated", reason="it was started with other settings")
                self._new.set()
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

    async def wait_for_new(self) -> None:
        """Return when an Envoy has been started or adopted since the last call."""
        await self._new.wait()
        self._new = trio.Event()

    def learn(self, server_info: Mapping[str, Any]) -> None:
        """Take what Envoy says of itself."""
        parts = str(server_info.get("version", "")).split("/")
        self._version = parts[1] if len(parts) > 1 else parts[0]

    def describe(self, now_s: float) -> dict[str, Any]:
        """The `envoy` part of the status."""
        state = "running" if self._pid is not None else "backoff" if self._starts else "starting"
        if self._pid is None and self.connected:
            state = "running"  # one that a unit of its own runs
        return {
            "state": state,
            "version": self._version,
            "pid": self._pid,
            "adopted": self._adopted,
            "connected": self.connected,
            "restarts": max(0, self._starts - 1),
            "uptime_s": round(now_s - self._since_s, 3) if self._pid is not None else 0.0,
            "error": self._error if self._pid is None else "",
        }
