"""An application beside the sidecar: when it starts, what it is told and in which order, how its end is reported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from sidecar.agent.application import check_application, run_application
from sidecar.agent.stopping import StopRequest
from store.errors import InputError
from tests.harness.processes import wait_until_async

OUTBOUND = "http://127.0.0.1:15001"
STUBBORN = (
    "import signal, sys, pathlib\n"
    "heard = pathlib.Path(sys.argv[1])\n"
    "def note(number, frame):\n"
    "    heard.write_text(heard.read_text() + f'{number} ')\n"
    "    if heard.read_text().count(' ') == 2: raise SystemExit(5)\n"
    "signal.signal(signal.SIGTERM, note)\n"
    "heard.write_text('')\n"
    "while True: signal.pause()\n"
)


class Beside:
    """What the daemon lends to an application: readiness, signals, a registration to withdraw."""

    def __init__(self) -> None:
        self.stop = StopRequest()
        self.ready = trio.Event()
        self.said: list[str] = []
        self.drained = trio.Event()
        self.status: int | None = None
        self._send, self._signals = trio.open_memory_channel[int](9)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._send.send_nowait(number)

    async def withdraw(self) -> None:
        self.said.append("withdrawing")
        await self.drained.wait()
        self.said.append("withdrawn")

    async def run(self, *command: str) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stop.listen, self._signals)
            self.status = await run_application(
                command, OUTBOUND, self.stop, wait_ready=self.ready.wait, withdraw=self.withdraw
            )
            nursery.cancel_scope.cancel()
        return self.status

    @asynccontextmanager
    async def running(self, *command: str) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run, *command)
            yield
            with trio.fail_after(20):
                await wait_until_async(lambda: self.status is not None, 20, "the end")


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    return tmp_path / "heard"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(9)", 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL),
    ],
)
async def test_its_end_is_reported_as_a_shell_would(code: str, status: int) -> None:
    beside = Beside()
    beside.ready.set()
    assert await beside.run(sys.executable, "-c", code) == status
    assert beside.said == [], "it ended by itself: the daemon withdraws afterwards"


async def test_it_learns_where_requests_leave_and_has_a_process_group_of_its_own(
    heard: Path,
) -> None:
    beside = Beside()
    beside.ready.set()
    code = (
        "import os, sys\n"
        "open(sys.argv[1], 'w').write(f'{os.environ[\"MESHD_OUTBOUND\"]} {os.getpgid(0)}')\n"
    )
    assert await beside.run(sys.executable, "-c", code, str(heard)) == 0
    outbound, group = heard.read_text().split()
    assert outbound == OUTBOUND
    assert int(group) != os.getpgid(0)


async def test_it_starts_only_when_requests_can_be_routed(heard: Path) -> None:
    beside = Beside()
    code = "import sys; open(sys.argv[1], 'w')"
    async with beside.running(sys.executable, "-c", code, str(heard)):
        await trio.sleep(0.1)
        assert not heard.exists()
        beside.ready.set()
    assert heard.exists()


async def test_told_to_stop_before_it_started_it_never_does(heard: Path) -> None:
    beside = Beside()
    async with beside.running(sys.executable, "-c", STUBBORN, str(heard)):
        beside.signal()
    assert beside.status == 128 + signal.SIGTERM
    assert not heard.exists()


async def test_the_signal_comes_after_the_withdrawal_and_later_ones_at_once(heard: Path) -> None:
    beside = Beside()
    beside.ready.set()
    async with beside.running(sys.executable, "-c", STUBBORN, str(heard)):
        await wait_until_async(heard.exists, 20, "the application")
        beside.signal()
        await wait_until_async(lambda: beside.said == ["withdrawing"], 5, "the withdrawal")
        assert heard.read_text() == ""
        beside.drained.set()
        await wait_until_async(lambda: heard.read_text() != "", 5, "the signal")
        assert beside.said == ["withdrawing", "withdrawn"]
        beside.signal()
    assert beside.status == 5
    assert heard.read_text() == "15 15 "


async def test_a_second_signal_does_not_wait_for_the_withdrawal(heard: Path) -> None:
    beside = Beside()
    beside.ready.set()
    async with beside.running(sys.executable, "-c", STUBBORN, str(heard)):
        await wait_until_async(heard.exists, 20, "the application")
        beside.signal()
        await wait_until_async(lambda: beside.said == ["withdrawing"], 5, "the withdrawal")
        beside.signal()
        await wait_until_async(lambda: heard.read_text() != "", 5, "the signal")
        assert beside.said == ["withdrawing"]
        beside.signal()
    assert beside.status == 5


async def test_cancelled_it_leaves_no_process_behind(heard: Path) -> None:
    beside = Beside()
    beside.ready.set()
    code = (
        "import os, sys, time\nopen(sys.argv[1], 'w').write(f'{os.getpid()}\\n')\ntime.sleep(600)\n"
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beside.run, sys.executable, "-c", code, str(heard))
        await wait_until_async(
            lambda: heard.exists() and heard.read_text().endswith("\n"), 20, "the application"
        )
        nursery.cancel_scope.cancel()
    pid = int(heard.read_text())

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except FileNotFoundError:
            return True

    await wait_until_async(is_gone, 5, "the end of the application")


def test_a_program_that_is_none_is_refused_beforehand(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("no program")
    for name in ("no-such-program-here", str(plain), str(tmp_path)):
        with pytest.raises(InputError, match="no program"):
            check_application((name,))
    check_application(("sh", "-c", "true"))


async def test_a_program_that_the_kernel_refuses_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    beside = Beside()
    beside.ready.set()
    with pytest.RaisesGroup(InputError):
        await beside.run(str(broken))
