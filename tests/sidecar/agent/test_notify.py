"""What systemd is told, and nothing where it does not listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import trio
from trio.testing import MockClock

from sidecar.agent.notify import STATUS_S, Notifier, tell_systemd


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


def test_a_watchdog_meant_for_another_process_is_not_fed() -> None:
    told = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert Notifier(told).watchdog_s == 0.0
    assert Notifier({**told, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30.0


async def heard_in(seconds: float, path: Path, watchdog: str, ready: trio.Event) -> list[bytes]:
    """What the service manager hears while the daemon tells it for so long."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": watchdog})
        with trio.move_on_after(seconds):
            await tell_systemd(notifier, ready.wait, lambda: "revision 5 in force")
        heard = []
        while True:
            try:
                heard.append(listener.recv(1000))
            except BlockingIOError:
                return heard


async def test_the_watchdog_is_fed_twice_in_its_time_once_the_daemon_is_ready(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ready = trio.Event()
    assert await heard_in(100.0, tmp_path / "before", "30000000", ready) == []
    ready.set()
    heard = await heard_in(61.0, tmp_path / "after", "30000000", ready)
    assert heard[0].startswith(b"READY=1")
    assert heard.count(b"WATCHDOG=1") == 4


async def test_without_a_watchdog_the_status_line_is_kept_up_to_date(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ready = trio.Event()
    ready.set()
    heard = await heard_in(2.5 * STATUS_S, tmp_path / "notify", "", ready)
    assert heard[1:] == [b"STATUS=revision 5 in force"] * 2


async def test_a_service_manager_that_does_not_read_hangs_nobody(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    ready = trio.Event()
    ready.set()
    heard = await heard_in(3000.0, tmp_path / "notify", "2000000", ready)
    assert heard[0].startswith(b"READY=1")
    assert len(heard) < 1000, "the kernel keeps only so many"
