"""The command line beside real sidecars and Envoys: wait, status, trace, check, a bad value, a dead sidecar."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd.cli import exits
from tests.harness.command_line import CommandLine
from tests.harness.etcdctl import etcdctl
from tests.harness.mesh import MeshFixture
from tests.harness.processes import EtcdProcess, wait_until
from tests.harness.reviews import reviews_mesh, reviews_to

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOP = Path(__file__).parents[2]
KEY = "/meshd/v1/ns/default/virtualservices/reviews"


@pytest.fixture(scope="module")
def mesh() -> Iterator[MeshFixture]:
    with reviews_mesh() as (mesh, _):
        yield mesh


@pytest.fixture
def meshd(mesh: MeshFixture, tmp_path: Path) -> CommandLine:
    run_dir = next(mesh.running()).run_dir
    base = run_dir if not (run_dir / "status.sock").exists() else run_dir.parent
    environment = {"MESHD_ETCD": mesh.etcd.url, "MESHD_RUN_DIR": str(base)}
    return CommandLine(tmp_path, environment)


def test_put_waits_for_every_sidecar_and_names_each(mesh: MeshFixture, meshd: CommandLine) -> None:
    for subset in ("v1", "v2"):
        ran = meshd("put", "-f", "-", "--wait", stdin=reviews_to(subset))
        assert ran.status == exits.OK, ran.text()
        for sidecar in mesh.running():
            assert f"{sidecar.node}" in ran.out
            assert sidecar.ask("reviews:9080").version == subset
        assert ran.out.count("in force after") == len(list(mesh.running()))


def test_rollback_brings_the_former_route_back(mesh: MeshFixture, meshd: CommandLine) -> None:
    meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v1"))
    meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v2"))
    change = json.loads(meshd("history", "vs/reviews", "--limit", "1", "-o", "json").out)[0]
    ran = meshd("rollback", change["change"], "--wait")
    assert ran.status == exits.OK, ran.text()
    for sidecar in mesh.running():
        assert sidecar.ask("reviews:9080").version == "v1"


def test_trace_of_a_sidecar_and_from_etcd_agree(mesh: MeshFixture, meshd: CommandLine) -> None:
    meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v2"))
    node = "h1"  # the client is not registered: it has no workload
    words = ("--from", node, "GET", "http://reviews:9080/x", "-o", "json")
    asked = json.loads(meshd("trace", *words).out)
    computed = json.loads(meshd("trace", "--offline", *words).out)
    for same in ("request", "outcome", "virtual_host", "route", "passed_over"):
        assert asked[same] == computed[same], same
    for one, other in zip(asked["destinations"], computed["destinations"], strict=True):
        assert (one["cluster"], one["percent"]) == (other["cluster"], other["percent"])
        assert {e["address"] for e in one["endpoints"]} == {
            e["address"] for e in other["endpoints"]
        }


def test_a_bad_value_is_shown_by_status_check_and_get_and_mended_by_put(
    mesh: MeshFixture, meshd: CommandLine
) -> None:
    meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v1"))
    assert meshd("check", "--wait").status == exits.OK
    assert meshd("status").status == exits.OK
    etcdctl(mesh.etcd, "put", KEY, "spec: [1")
    wait_until(lambda: meshd("status").status == exits.NO, 10, "status to see the bad value")
    told = meshd("status").out
    assert "VirtualService/default/reviews at revision" in told
    assert "MESH0123" in told
    check = meshd("check")
    assert (check.status, "failed" in check.out) == (exits.NO, True)
    assert "invalid MESH0123" in meshd("get", "vs").out
    ran = meshd("put", "-q", "-f", "-", "--wait", stdin=reviews_to("v2"))
    assert ran.status == exits.OK, ran.text()
    assert meshd("status").status == exits.OK


def test_a_frozen_sidecar_lags_by_name_and_the_others_are_in_force(
    mesh: MeshFixture, meshd: CommandLine
) -> None:
    frozen, *others = mesh.running()
    assert frozen.process is not None
    os.kill(frozen.process.pid, signal.SIGSTOP)
    try:
        ran = meshd(*("put", "-f", "-", "--wait", "--timeout", "1"), stdin=reviews_to("v1"))
    finally:
        os.kill(frozen.process.pid, signal.SIGCONT)
    assert ran.status == exits.NO
    said = dict(line.split(None, 1) for line in ran.out.splitlines()[-1 - len(others) :])
    assert "no answer within" in said[frozen.node]
    assert all("in force after" in said[other.node] for other in others)
    assert meshd("check", "--wait").status == exits.OK


def test_watch_shows_each_change_until_interrupted(own_etcd: EtcdProcess, tmp_path: Path) -> None:
    environment = {**os.environ, "MESHD_ETCD": own_etcd.url}
    meshd = CommandLine(tmp_path, {"MESHD_ETCD": own_etcd.url})
    meshd("put", "-q", "-f", "-", stdin=reviews_to("v1"))
    out = tmp_path / "out"
    with out.open("w") as stream:
        watch = subprocess.Popen(
            [sys.executable, "-m", "meshd.cli.main", "get", "vs", "-w", "-o", "json"],
            cwd=TOP,
            env=environment,
            stdout=stream,
            stderr=subprocess.PIPE,
        )

    def lines() -> list[str]:
        return out.read_text().splitlines()

    try:
        wait_until(lambda: len(lines()) == 1, 20, "the object as it is")
        meshd("put", "-q", "-f", "-", stdin=reviews_to("v2"))
        wait_until(lambda: len(lines()) == 2, 20, "the change")
        meshd("delete", "vs", "reviews")
        wait_until(lambda: len(lines()) == 3, 20, "the deletion")
    finally:
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=20)
    assert [json.loads(line)["metadata"]["generation"] for line in lines()[:2]] == [1, 2]
    assert lines()[2] == "VirtualService/default/reviews deleted"
    assert watch.returncode == exits.INTERRUPTED
    assert b"Traceback" not in err
