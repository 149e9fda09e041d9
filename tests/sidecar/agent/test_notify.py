"""What systemd is told, and nothing where it does not listen."""

from __future__ import annotations

import socket
from pathlib import Path

from sidecar.agent.notify import Notifier


def test_readiness_status_and_watchdog_are_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000"})
        assert notifier.watchdog_s == 30.0
        notifier.ready("revision 5 in force")
        notifier.alive()
        notifier.stopping()
        told = [listener.recv(1000) for _ in range(3)]
    assert told == [b"READY=1\nSTATUS=revision 5 in force", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_service_manager_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready("x")
    assert notifier.watchdog_s == 0.0


def test_a_service_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
