"""Real sidecars that gossip: how they find each other, and what they make of those who go."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sidecar.agent.gossip_addresses import split
from tests.harness.gossip_settings import OTHER_KEY, gossip, key_file, wait_members
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

DEAD_WITHIN_S = 90.0


@pytest.fixture
def mesh() -> Iterator[MeshFixture]:
    with MeshFixture() as mesh:
        yield mesh


def three(mesh: MeshFixture, **settings: Any) -> list[SidecarProcess]:
    """Three sidecars without workloads that hold each other alive."""
    sidecars = [mesh.sidecar(f"g{n}", wait=False, **gossip(mesh, **settings)) for n in range(3)]
    for sidecar in sidecars:
        sidecar.wait_ready()
    for sidecar in sidecars:
        wait_members(sidecar, alive=2)
    return sidecars


def test_they_find_each_other_through_etcd_alone_and_notice_who_goes(mesh: MeshFixture) -> None:
    one, two, three_ = three(mesh)
    epoch = three_.status()["gossip"]["epoch"]
    three_.kill()
    for sidecar in (one, two):
        wait_members(sidecar, alive=1, dead=1, within_s=DEAD_WITHIN_S)
    three_.start().wait_ready()
    for sidecar in (one, two):
        wait_members(sidecar, alive=2, dead=0, within_s=DEAD_WITHIN_S)
    assert wait_members(three_, alive=2)["epoch"] > epoch
    # The clock stands still, or goes backwards: the next life is later all the same.
    three_.end(signal.SIGKILL)
    ahead = int(time.time() * 1000) + 10**10
    (three_.data_dir / "gossip-epoch").write_text(f"{ahead}\n")
    three_.start().wait_ready()
    assert wait_members(three_, alive=2, within_s=DEAD_WITHIN_S)["epoch"] == ahead + 1
    # And where it is lost as well, peers remember.
    three_.end(signal.SIGKILL)
    (three_.data_dir / "gossip-epoch").unlink()
    three_.start().wait_ready()
    found = three_.wait_status("a later life", lambda now: now["gossip"]["epoch"] > ahead + 1)
    assert found["gossip"]["rival"] is None
    for sidecar in (one, two):
        wait_members(sidecar, alive=2, dead=0, within_s=DEAD_WITHIN_S)


def test_a_host_that_leaves_is_held_for_left(mesh: MeshFixture) -> None:
    one, two, three_ = three(mesh, on_stop="leave")
    assert three_.end() == 0
    for sidecar in (one, two):
        wait_members(sidecar, alive=1, left=1, dead=0)


def test_a_seed_is_enough_while_etcd_is_away(mesh: MeshFixture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = {"endpoints": [f"http://127.0.0.1:{closed.getsockname()[1]}"]}
    one = mesh.sidecar("g0", wait=False, **{**gossip(mesh), "etcd": nowhere})
    address = wait_until(lambda: _address(one), 60, "the first one's gossip address")
    others = [
        mesh.sidecar(f"g{n}", wait=False, **{**gossip(mesh, seeds=[address]), "etcd": nowhere})
        for n in (1, 2)
    ]
    for sidecar in (one, *others):
        wait_until(partial(_address, sidecar), 60, f"{sidecar.node} to answer")
        wait_members(sidecar, alive=2)


def test_those_of_the_last_known_good_are_seeds_while_etcd_is_away(mesh: MeshFixture) -> None:
    sidecars = three(mesh, port=None)
    for sidecar in sidecars:
        sidecar.wait_last_good(mesh.settle())
        sidecar.kill()
    mesh.etcd.stop()
    for sidecar in sidecars:
        sidecar.start()
    for sidecar in sidecars:
        wait_until(partial(_address, sidecar), 60, f"{sidecar.node} to answer")
        wait_members(sidecar, alive=2, within_s=DEAD_WITHIN_S)


def _address(sidecar: SidecarProcess) -> str:
    code, text = sidecar.page("/v1/status")
    return str(json.loads(text)["gossip"]["address"]) if code == 200 else ""


def test_who_has_another_key_is_invisible_and_counted(mesh: MeshFixture) -> None:
    one, two, _ = three(mesh)
    other = key_file(mesh.root, "other.keys", OTHER_KEY)
    stranger = mesh.sidecar("stranger", **gossip(mesh, key_file=other))
    one.wait_status(
        "a stranger counted",
        lambda now: (
            now["gossip"]["dropped"].get("stream_not_opened", 0) > 0
            or two.status()["gossip"]["dropped"].get("stream_not_opened", 0) > 0
        ),
    )
    assert sum(stranger.status()["gossip"]["members"].values()) == 0
    for sidecar in (one, two):
        assert sidecar.status()["gossip"]["members"] == {
            "alive": 2,
            "suspect": 0,
            "dead": 0,
            "left": 0,
        }


def test_a_flood_of_datagrams_does_no_harm(mesh: MeshFixture) -> None:
    one, two, three_ = three(mesh)
    address = split(one.status()["gossip"]["address"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.setblocking(False)
        bodies = [b"", b"\x01", bytes(1200), b"\x01" + bytes(1199), b"\x01" * 9000]
        for number in range(20_000):
            try:
                flood.sendto(bodies[number % len(bodies)], address)
            except BlockingIOError:
                continue

    def counted(now: dict[str, Any]) -> bool:
        dropped: dict[str, int] = now["gossip"]["dropped"]
        return {"datagram_not_opened", "datagram_too_long"} <= dropped.keys()

    one.wait_status("the flood counted", counted)
    for sidecar in (one, two, three_):
        wait_members(sidecar, alive=2, dead=0)
        assert "gossip_member_changed" not in _lines_after(sidecar, '"after": "dead"')


def _lines_after(sidecar: SidecarProcess, words: str) -> str:
    return "\n".join(line for line in sidecar.log.read_text().splitlines() if words in line)


def test_a_port_in_use_ends_the_start_with_a_clear_error(mesh: MeshFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sidecar = mesh.sidecar("g0", wait=False, **gossip(mesh, port=port))
        assert sidecar.process is not None
        assert sidecar.process.wait(60) == 3
        sidecar.process = None
    text = sidecar.log.read_text()
    assert f"gossip cannot listen on 127.0.0.1:{port}: Address already in use" in text
    assert "Set gossip.port to a free port" in text
    assert "Traceback" not in text


def test_without_a_key_the_sidecar_runs_and_says_that_gossip_is_off(mesh: MeshFixture) -> None:
    one = mesh.sidecar("g0", gossip={"key_file": str(mesh.root / "none")})
    assert one.status()["gossip"]["state"] == "off"
    assert one.log.read_text().count("gossip_off") == 1
    assert "meshd_gossip_up 0.0" in one.page("/metrics")[1]
