"""Envoy's process: killed, adopted, outliving its sidecar, stopped; and its admin interface."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from sidecar.agent.envoy import EnvoyEvent, EnvoyExited, EnvoyProcess, EnvoyStarted, restart_delay_s
from sidecar.agent.envoy_admin import AdminClient
from sidecar.agent.envoy_program import EnvoyLaunch, find_envoy
from sidecar.agent.envoy_record import EnvoyRecord, start_ticks
from store.errors import AgentUnavailable, InputError, NotFoundError
from tests.harness.envoys import launch_in, open_lab
from tests.harness.processes import wait_until_async
from tests.harness.upstreams import Connection, request
from tests.harness.xds_resources import listener, routes

pytestmark = pytest.mark.real

WAIT_S = 20.0


@asynccontextmanager
async def directory_of_envoys() -> AsyncIterator[Path]:
    """A directory; an Envoy recorded in it at the end is killed."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as name:
        directory = Path(name)
        try:
            yield directory
        finally:
            record = EnvoyRecord.read(directory / "envoy.pid")
            if record is not None and record.is_running():
                os.kill(record.pid, signal.SIGKILL)


async def until_answers(process: EnvoyProcess) -> None:
    async def answers() -> bool:
        try:
            await process.admin.server_info()
        except AgentUnavailable:
            return False
        return True

    await wait_until_async(answers, WAIT_S, "the admin interface")


async def test_a_killed_envoy_serves_again_at_once() -> None:
    async with open_lab() as lab:
        await lab.put(
            listener("out", lab.port, "r"), routes("r", star={"status": 200, "text": "up"})
        )
        first = lab.process.pid
        assert first is not None
        began = trio.current_time()
        os.kill(first, signal.SIGKILL)
        await wait_until_async(lambda: lab.process.pid not in (first, None), 10, "a new Envoy")
        await lab.serves("x", "up")
        print(f"served again after {trio.current_time() - began:.2f} s")
        exited = next(event for event in lab.exits if isinstance(event, EnvoyExited))
        assert (exited.pid, exited.status, exited.retry_in_s) == (first, -signal.SIGKILL, 0.0)
        assert lab.process.restarts == 1


async def test_envoy_outlives_its_sidecar_and_is_adopted_by_the_next() -> None:
    async with directory_of_envoys() as directory:
        events: list[EnvoyEvent] = []
        launch = launch_in(directory)
        first = EnvoyProcess(launch, events.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(first.run)
            await until_answers(first)
            nursery.cancel_scope.cancel()
        pid = first.pid
        assert pid is not None
        assert os.getsid(pid) == pid, "in a session of its own"
        assert start_ticks(pid) is not None
        second = EnvoyProcess(launch, events.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(second.run)
            assert events[-1] == EnvoyStarted(pid, adopted=True)
            os.kill(pid, signal.SIGKILL)
            await wait_until_async(lambda: second.pid not in (pid, None), 5, "a new Envoy")
            await second.stop(0)
        assert second.pid is None


async def test_an_adopted_envoy_of_other_settings_is_told_as_outdated() -> None:
    async with directory_of_envoys() as directory:
        launch = launch_in(directory)
        first = EnvoyProcess(launch, lambda _event: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(first.run)
            nursery.cancel_scope.cancel()
        events: list[EnvoyEvent] = []
        second = EnvoyProcess(replace(launch, concurrency=2), events.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(second.run)
            await second.stop(0)
        assert isinstance(events[0], EnvoyStarted)
        assert events[0].outdated


async def test_two_sidecars_do_not_drive_one_envoy() -> None:
    async with directory_of_envoys() as directory:
        first = EnvoyProcess(launch_in(directory), lambda _event: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(first.run)
            second = EnvoyProcess(launch_in(directory), lambda _event: None)
            with pytest.raises(InputError, match=f"process {os.getpid()}"):
                await second.run()
            await first.stop(0)


async def test_an_envoy_that_cannot_start_is_tried_again_ever_later_with_its_words_told() -> None:
    async with directory_of_envoys() as directory:
        events: list[EnvoyEvent] = []
        launch = replace(launch_in(directory), bootstrap='{"no_such_field": 1}')
        process = EnvoyProcess(launch, events.append)

        def exits() -> list[EnvoyExited]:
            return [event for event in events if isinstance(event, EnvoyExited)]

        async with trio.open_nursery() as nursery:
            await nursery.start(process.run)
            await wait_until_async(lambda: len(exits()) >= 3, WAIT_S, "three exits")
            nursery.cancel_scope.cancel()
        assert [event.retry_in_s for event in exits()[:3]] == [0.0, 0.1, 0.2]
        assert exits()[0].status == 1
        assert "no_such_field" in exits()[0].log_tail


async def test_stopping_lets_requests_finish() -> None:
    async with open_lab() as lab:
        slow = {"delay": {"fixed_delay": "1s", "percentage": {"numerator": 100}}}
        fault = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            **slow,
        }
        router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
        filters = [
            {"name": "envoy.filters.http.fault", "typed_config": fault},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ]
        await lab.put(
            listener("out", lab.port, "r", http_filters=filters),
            routes("r", star={"status": 200, "text": "done"}),
        )
        texts: list[str] = []

        async def ask() -> None:
            texts.append((await request(lab.port, "x")).text)

        async with trio.open_nursery() as nursery:
            connection = await Connection.open(lab.port)
            nursery.start_soon(ask)
            await wait_until_async(lambda: _active(lab.process), 5, "the request to be active")
            began = trio.current_time()
            await lab.process.stop(10)
            assert trio.current_time() - began < 5, "it ends when the last request has"
            await connection.aclose()
        assert texts == ["done"]


async def _active(process: EnvoyProcess) -> bool:
    stats = await process.admin.stats("^http.out.downstream_rq_active$")
    return sum(stats.values()) == 1


async def test_the_admin_interface_is_on_a_socket_of_this_user_alone() -> None:
    async with open_lab() as lab:
        await lab.put(listener("out", lab.port, "r"), routes("r", star={"status": 200}))
        path = lab.process.launch.admin_socket
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await lab.admin.is_ready()
        info = await lab.admin.server_info()
        assert info["node"]["id"] == "node"
        clusters = await lab.admin.clusters()
        assert clusters["cluster_statuses"][0]["name"] == "meshd_ads"
        dump = await lab.admin.config_dump("resource=dynamic_listeners")
        assert dump["configs"][0]["name"] == "out"
        stats = await lab.admin.stats("^listener_manager.total_listeners_active$")
        assert stats == {"listener_manager.total_listeners_active": 1}


async def test_an_unanswering_admin_interface_is_an_error_that_says_where() -> None:
    client = AdminClient(Path("/nowhere/admin.sock"))
    with pytest.raises(AgentUnavailable, match=r"/nowhere/admin\.sock cannot be reached"):
        await client.get("/ready")
    assert not await client.is_ready()
    async with open_lab() as lab:
        await lab.put(listener("out", lab.port, "r"), routes("r", star={"status": 200}))
        with pytest.raises(AgentUnavailable, match="404"):
            await lab.admin.get("/no/such/page")


def test_envoy_is_found_in_the_wheel_or_where_it_is_said_to_be(tmp_path: Path) -> None:
    found = find_envoy()
    assert found.name == "envoy"
    assert os.access(found, os.X_OK)
    assert find_envoy(str(found)) == found.resolve()
    with pytest.raises(NotFoundError, match="is not an executable file"):
        find_envoy(str(tmp_path / "envoy"))


async def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    async with directory_of_envoys() as directory:
        launch: EnvoyLaunch = replace(launch_in(directory), binary=tmp_path)
        with pytest.raises(InputError, match="cannot start Envoy"):
            await EnvoyProcess(launch, lambda _event: None).run()


def test_the_first_restart_is_at_once_and_later_ones_wait_up_to_a_bound() -> None:
    delays = [restart_delay_s(failures) for failures in range(12)]
    assert delays[:5] == [0.0, 0.0, 0.1, 0.2, 0.4]
    assert max(delays) == delays[-1] == 10.0


def test_a_record_of_another_process_is_not_believed(tmp_path: Path) -> None:
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    assert EnvoyRecord(os.getpid(), ticks, "").is_running()
    assert not EnvoyRecord(os.getpid(), ticks - 1, "").is_running()
    path = tmp_path / "envoy.pid"
    path.write_text('{"pid": 1, "sta')
    assert EnvoyRecord.read(path) is None
    EnvoyRecord(7, 8, "x").write(path)
    assert EnvoyRecord.read(path) == EnvoyRecord(7, 8, "x")
