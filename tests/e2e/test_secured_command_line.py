"""The command line as people meet it: laggards, conflicts, interruptions, watching, a dead sidecar's socket.

All against an etcd that wants certificates, and each `meshd` is a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from meshd.cli import exits
from tests.harness.processes import wait_until
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.secured import SecuredMesh
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

ENDS_S = 8.0
"""How much longer than its timeout a command may take on a busy machine, its own start included."""

Meshed = tuple[SecuredMesh, SidecarProcess, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """Host vm-1 serves both versions of reviews; vm-2 serves nothing."""
    with SecuredMesh() as mesh:
        for node in ("vm-1", "vm-2"):
            mesh.host(node)
        workloads = [
            mesh.workload(mesh.backend("reviews", version), 9080, name=f"reviews-{version}")
            for version in ("v1", "v2")
        ]
        other, host = mesh.sidecar("vm-2"), mesh.sidecar("vm-1", *workloads)
        mesh.put(reviews_to("v1"))
        yield mesh, host, other


def at_version(author: str, resource_version: int) -> str:
    """A route with an author's mark, to be written over this version alone."""
    route = reviews_to("v1").split("---")[1]
    return route.replace(
        "{name: reviews}",
        f'{{name: reviews, resourceVersion: "{resource_version}", labels: {{by: {author}}}}}',
    )


def stored_version(mesh: SecuredMesh) -> int:
    found = mesh.client.get("/meshd/v1/ns/default/virtualservices/reviews")
    assert found is not None
    return found.mod_revision


def file(mesh: SecuredMesh, name: str, text: str) -> str:
    path = mesh.root / name
    path.write_text(text)
    return str(path)


def said_until(process: subprocess.Popen[str], word: str) -> str:
    """What it writes to standard error, up to the line with this word."""
    assert process.stderr is not None
    said = ""
    while word not in said:
        line = process.stderr.readline()
        assert line, f"it ended without {word}: {said}"
        said += line
    return said


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_put_wait_names_the_laggard_and_ends_at_its_timeout(meshed: Meshed) -> None:
    mesh, host, other = meshed
    text = file(mesh, "v2.yaml", reviews_to("v2"))
    assert other.process is not None
    os.kill(other.process.pid, signal.SIGSTOP)
    try:
        put = mesh.start_meshd("put", "-f", text, "--wait", "--timeout", "2")
        said = said_until(put, "revision")
        began = time.monotonic()
        status, out, err = finish(put)
        took_s = time.monotonic() - began
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
    assert status == exits.NO, out + said + err
    assert 1.0 < took_s < 2.0 + ENDS_S
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "in force after" in lines["vm-1"]
    assert "no answer within 3 s" in lines["vm-2"]
    assert "1 of 2 hosts" in err
    assert "see: vm-2" in err
    assert host.ask(REVIEWS).version == "v2", "what was written stays written"


def test_of_two_puts_over_one_version_one_wins_and_the_other_sees_both(meshed: Meshed) -> None:
    """etcd stands still while both start, so that both are under way before either is written."""
    mesh, _, _ = meshed
    version = stored_version(mesh)
    files = [file(mesh, f"{name}.yaml", at_version(name, version)) for name in ("ann", "bob")]
    mesh.etcd.freeze()
    try:
        puts = [
            mesh.start_meshd("--etcd-timeout", "30", "put", "-m", name, "-f", name)
            for name in files
        ]
        for put in puts:
            wait_until(partial(connects, put, mesh.etcd.client_port), 20, "put to reach for etcd")
    finally:
        mesh.etcd.thaw()
    ended = [finish(put) for put in puts]
    assert sorted(status for status, _, _ in ended) == [exits.OK, exits.CONFLICT]
    (lost,) = [err for status, _, err in ended if status == exits.CONFLICT]
    newest = stored_version(mesh)
    assert "VirtualService/default/reviews" in lost
    assert f"resourceVersion {version}" in lost or f"read at revision {version}" in lost
    assert str(newest) in lost
    assert '"by":"ann"' in lost, "his version and the other's"
    assert '"by":"bob"' in lost
    history = mesh.meshd("history", "vs/reviews", "--limit", "1", "-o", "json")
    assert f'"revision": {newest}' in history.stdout


def test_ctrl_c_in_the_wait_says_what_was_done(meshed: Meshed) -> None:
    mesh, _, other = meshed
    before = stored_version(mesh)
    text = file(mesh, "v.yaml", reviews_to("v1" if before else "v2") + "# changed\n")
    mesh.put(reviews_to("v2"))
    assert other.process is not None
    os.kill(other.process.pid, signal.SIGSTOP)
    try:
        put = mesh.start_meshd("put", "-f", text, "--wait")
        said = said_until(put, "revision")
        put.send_signal(signal.SIGINT)
        status, out, err = finish(put)
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
    assert status == exits.INTERRUPTED
    assert "Traceback" not in err
    assert f"revision {stored_version(mesh)}" in said
    assert "interrupted" in err
    assert "VirtualService/default/reviews configured" in out


def test_ctrl_c_while_etcd_stands_still_ends_at_once_and_writes_nothing(meshed: Meshed) -> None:
    mesh, _, _ = meshed
    before = stored_version(mesh)
    text = file(mesh, "v.yaml", reviews_to("v1"))
    mesh.etcd.freeze()
    try:
        put = mesh.start_meshd("--etcd-timeout", "60", "put", "-f", text)
        wait_until(partial(connects, put, mesh.etcd.client_port), 20, "put to reach for etcd")
        began = time.monotonic()
        put.send_signal(signal.SIGINT)
        status, out, err = finish(put)
        took_s = time.monotonic() - began
    finally:
        mesh.etcd.thaw()
    assert status == exits.INTERRUPTED
    assert "Traceback" not in err
    assert took_s < ENDS_S
    assert out == ""
    assert stored_version(mesh) == before


def connects(process: subprocess.Popen[str], port: int) -> bool:
    """Whether the process has a TCP connection to the port, made or in the making."""
    sockets = set()
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return any(row[9] in sockets and row[2].endswith(f":{port:04X}") for row in rows)


def test_get_w_prints_each_change(meshed: Meshed) -> None:
    mesh, _, _ = meshed
    mesh.put(reviews_to("v1"))
    watch = mesh.start_meshd("get", "vs", "-w", "-o", "name")
    assert watch.stdout is not None
    seen = [watch.stdout.readline()]
    mesh.put(reviews_to("v2"))
    seen.append(watch.stdout.readline())
    assert mesh.meshd("delete", "vs", "reviews").returncode == exits.OK
    seen.append(watch.stdout.readline())
    watch.send_signal(signal.SIGINT)
    status, _, err = finish(watch)
    mesh.put(reviews_to("v1"))
    assert seen == [
        *["VirtualService/default/reviews\n"] * 2,
        "VirtualService/default/reviews deleted\n",
    ]
    assert (status, "Traceback" in err) == (exits.INTERRUPTED, False)


def test_edit_beside_another_writer_is_refused_with_both_and_keeps_the_text(meshed: Meshed) -> None:
    mesh, host, _ = meshed
    mesh.put(reviews_to("v1"))
    version = stored_version(mesh)
    theirs = file(mesh, "theirs.yaml", reviews_to("v2"))
    editor = mesh.root / "editor.sh"
    editor.write_text(
        f"#!/bin/sh\n{sys.executable} -m meshd.cli.main put -q -f {theirs}\n"
        "sed -i 's/subset: v1/subset: v3/' \"$1\"\n"
    )
    editor.chmod(0o755)
    ran = mesh.meshd("edit", "vs", "reviews", EDITOR=str(editor))
    assert ran.returncode == exits.CONFLICT, ran.stdout + ran.stderr
    assert (
        f"made from resourceVersion {version}, the stored one is {stored_version(mesh)}"
        in ran.stderr
    )
    kept = next(word for word in ran.stderr.split() if "meshd-edit" in word).rstrip(";`")
    assert "subset: v3" in Path(kept).read_text()
    mesh.settle()
    assert host.ask(REVIEWS).version == "v2"


def test_status_names_the_socket_of_a_dead_sidecar_and_shows_the_living(meshed: Meshed) -> None:
    mesh, host, other = meshed
    other.kill()
    ran = mesh.meshd("status")
    assert ran.returncode == exits.NO
    rows = {line.split()[0]: line for line in ran.stdout.splitlines() if line.strip()}
    assert "unreachable" in rows["vm-2"]
    assert "in-force" in rows["vm-1"]
    assert str(other.run_dir / "status.sock") in ran.stdout
    assert "left by a sidecar that is gone" in ran.stdout
    assert mesh.meshd("status", host.node).returncode == exits.OK
    other.start().wait_ready()
    assert mesh.meshd("status").returncode == exits.OK
