"""One sidecar speaks for the mesh: three real hosts, of which the command line sees the socket of only one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.command_line import CommandLine, Ran
from tests.harness.etcdctl import etcdctl
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.reviews import reviews_mesh, reviews_to
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

KEY = "/meshd/v1/ns/default/virtualservices/reviews"
OTHER_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: other-{number}}}
spec: {{host: other-{number}.example.com}}
"""
FAR = ("h1", "h2")
"""Hosts that only gossip can tell of."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshFixture]:
    keys = tmp_path_factory.mktemp("keys") / "gossip.keys"
    made = CommandLine(keys.parent)("keyring", "generate", "-f", str(keys))
    assert made.status == exits.OK, made.text()
    with reviews_mesh(gossip={"enabled": "on", "key_file": str(keys), "port": 0}) as (mesh, _):
        wait_until(
            lambda: all(_alive(sidecar) == 3 for sidecar in mesh.running()),
            60,
            "each host to hold the two others for alive",
        )
        yield mesh


def _alive(sidecar: SidecarProcess) -> int:
    code, text = sidecar.page("/v1/peers")
    return int(json.loads(text).get("counts", {}).get("alive", 0)) if code == 200 else 0


@pytest.fixture
def meshd(mesh: MeshFixture, tmp_path: Path) -> CommandLine:
    """`meshd` on the client's machine: the other sidecars' sockets are not there."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "client").symlink_to(mesh.sidecars["client"].run_dir)
    environment = {"MESHD_ETCD": mesh.etcd.url, "MESHD_RUN_DIR": str(tmp_path / "run")}
    return CommandLine(tmp_path, environment)


def rows(ran: Ran) -> dict[str, list[str]]:
    """Cells of a table by their first one."""
    lines = ran.out.split("\n\n")[0].splitlines()
    return {line.split()[0]: line.split() for line in lines if line}


def status(meshd: CommandLine) -> dict[str, Any]:
    """The status of every host by its name."""
    return {row["node"]: row for row in json.loads(meshd("status", "-o", "json").out)}


def wait_well(meshd: CommandLine) -> None:
    wait_until(lambda: meshd("status").status == exits.OK, 60, "all hosts to be well")


def test_put_waits_for_hosts_that_only_gossip_knows(mesh: MeshFixture, meshd: CommandLine) -> None:
    for subset in ("v1", "v2"):
        ran = meshd("put", "-f", "-", "--wait", stdin=reviews_to(subset))
        assert ran.status == exits.OK, ran.text()
        for sidecar in mesh.running():
            assert sidecar.ask("reviews:9080").version == subset
        for node in FAR:
            assert f"{node}  " in ran.out
        assert ran.out.count("in force") == 3
        assert "not the whole mesh" not in ran.err


def test_status_and_peers_of_one_tell_of_all(mesh: MeshFixture, meshd: CommandLine) -> None:
    wait_well(meshd)
    ran = meshd("status")
    assert set(rows(ran)) == {"NODE", "client", *FAR}
    assert {rows(ran)[node][-1] for node in FAR} == {"ago"}
    assert rows(ran)["client"][-1] == "here"
    peers = meshd("peers")
    assert peers.status == exits.OK, peers.text()
    assert {rows(peers)[node][1] for node in FAR} == {"alive"}
    found = json.loads(meshd("peers", "-o", "json").out)
    assert {row["trust"] for row in found["members"]} == {"first_sight"}
    assert meshd("peers", "--matrix").status == exits.OK


def test_check_finds_a_sound_mesh_sound_and_keys_are_one(meshd: CommandLine) -> None:
    ran = meshd("check", "--wait", "--timeout", "60")
    assert ran.status == exits.OK, ran.text()
    assert "all 3 hosts have revision" in ran.out
    assert "3 members alive" in ran.out
    assert meshd("keyring", "list").status == exits.OK
    assert meshd("ejections").status == exits.OK


def test_an_invalid_value_shows_at_every_host_from_one(
    mesh: MeshFixture, meshd: CommandLine
) -> None:
    etcdctl(mesh.etcd, "put", KEY, "spec: [1")
    wait_until(
        lambda: all(status(meshd)[node]["told"]["quarantined"] for node in FAR),
        30,
        "the other hosts to tell of the value that they quarantined",
    )
    ran = meshd("status")
    assert ran.status == exits.NO
    for node in FAR:
        assert f"{node}: error: 1 objects are quarantined there" in ran.out
    ran = meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v1"))
    assert ran.status == exits.OK, ran.text()
    wait_well(meshd)


def test_a_frozen_host_lags_by_name_and_is_not_waited_for_once_it_is_dead(
    mesh: MeshFixture, meshd: CommandLine
) -> None:
    assert meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v1")).status == exits.OK
    wait_well(meshd)
    with mesh.sidecars["h2"].frozen():
        ran = meshd("put", "-f", "-", "--wait", "--timeout", "2.5", stdin=reviews_to("v2"))
        assert ran.status == exits.NO, ran.text()
        assert "h2      lags: " in ran.out
        assert "h1      in force" in ran.out
        ran = meshd("put", "-f", "-", "--wait", "--timeout", "60", stdin=reviews_to("v1"))
        assert ran.status == exits.OK, ran.text()
        assert "h2      gone: " in ran.out or "h2" not in ran.out
        assert status(meshd)["h2"]["told"]["status"] == "dead"
        assert meshd("peers").status == exits.NO
    wait_well(meshd)


def test_without_etcd_the_mesh_can_still_be_asked(mesh: MeshFixture, meshd: CommandLine) -> None:
    wait_well(meshd)
    mesh.etcd.kill()
    try:
        wait_until(
            lambda: all(status(meshd)[node]["told"]["sync"] == "stale" for node in FAR),
            60,
            "the other hosts to tell that they do not hear etcd",
        )
        ran = meshd("status")
        assert set(rows(ran)) == {"NODE", "client", *FAR}
        assert "h1: warning: it does not hear etcd; it serves what it has" in ran.out
    finally:
        mesh.etcd.start()
    wait_well(meshd)


def test_an_etcd_that_lost_its_disk_is_not_taken_for_the_one_before(
    mesh: MeshFixture, meshd: CommandLine
) -> None:
    """It keeps its cluster id; old revisions are higher than what is written now. The last test: it changes all."""
    others = "---".join(OTHER_RULE.format(number=number) for number in range(5))
    assert meshd("put", "-q", "-f", "-", "--wait", stdin=others).status == exits.OK
    wait_well(meshd)
    mesh.etcd.kill()
    shutil.rmtree(mesh.etcd.directory / f"{mesh.etcd.name}.data")
    mesh.etcd.start()
    ran = meshd("put", "-f", "-", "--wait", "--timeout", "5", stdin=reviews_to("v2"))
    assert ran.status == exits.NO, ran.text()
    assert "in force after" not in ran.out
    assert "  in force" not in ran.out
    wait_until(
        lambda: (
            {row["told"]["sync"] for row in status(meshd).values() if "told" in row} == {"held"}
        ),
        30,
        "the other hosts to tell that they hold the new etcd off",
    )
    for sidecar in mesh.running():
        code, text = sidecar.page("/v1/epoch/accept", method="POST")
        assert code == 200, text
    ran = meshd("put", "-f", "-", "--wait", "--timeout", "60", stdin=reviews_to("v1"))
    assert ran.status == exits.OK, ran.text()
    assert ran.out.count("in force") == 3
