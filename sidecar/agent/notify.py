"""Tells systemd how the daemon is: ready, status line, watchdog, stopping (sd_notify(3), Type=notify).

Does nothing where NOTIFY_SOCKET is not set. The protocol is one datagram of `NAME=value` lines.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable

import trio

__all__ = ["Notifier", "tell_systemd"]

STATUS_S = 30.0
"""How often the status line is brought up to date where no watchdog sets the pace."""


class Notifier:
    """The datagram socket to the service manager.

    Args:
        environment: Where NOTIFY_SOCKET and WATCHDOG_USEC are looked up.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        told = dict(os.environ) if environment is None else environment
        self._address = told.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        watchdog = told.get("WATCHDOG_USEC", "")
        is_meant = told.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(watchdog) / 1e6 if watchdog.isdigit() and is_meant else 0.0
        """How often the service manager must hear from us, 0 when it does not watch."""

    @property
    def is_heard(self) -> bool:
        """Whether there is a service manager that listens."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Configuration is in force: what waits for this unit may start."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The daemon is leaving in order."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.setblocking(
                False
            )  # a service manager that does not read must not hang the event loop
            try:
                speaker.connect(self._address)
                speaker.send(text.encode())
            except OSError:
                return  # a service manager that went away is no reason to stop serving


async def tell_systemd(
    notifier: Notifier, wait_ready: Callable[[], Awaitable[None]], summary: Callable[[], str]
) -> None:
    """Say that the daemon is ready once it is, then feed the watchdog and the status line until cancelled.

    A task like any other: where the event loop hangs, so does this, and the watchdog bites.

    Args:
        notifier: The service manager.
        wait_ready: Returns when a configuration is in force.
        summary: One line of status.
    """
    if not notifier.is_heard:
        return
    await wait_ready()
    notifier.ready(summary())
    while True:
        await trio.sleep(notifier.watchdog_s / 2 or STATUS_S)
        if notifier.watchdog_s:
            notifier.alive()
        notifier.status(summary())
