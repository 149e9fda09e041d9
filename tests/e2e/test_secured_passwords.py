"""An etcd with passwords and simple tokens that live for seconds: what an expired or lost token, and a changed
password, do to a sidecar (etcd#12385: expiry may look like "permission denied")."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from meshd.cli import exits
from tests.harness.reviews import REVIEWS, reviews_to
from tests.harness.secured import PASSWORDS, TOKEN_TTL_S, SecuredMesh
from tests.harness.sidecars import SidecarProcess

pytestmark = [pytest.mark.real, pytest.mark.slow]

LEASE_S = 21
"""Renewed each 7 s: by then a token of 5 s, looked at once a second, has always expired."""
EXPIRIES = 2

Meshed = tuple[SecuredMesh, SidecarProcess]


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    """Host vm-1 serves both versions of reviews."""
    with SecuredMesh(PASSWORDS, registration={"ttl_s": LEASE_S}) as mesh:
        mesh.host("vm-1")
        mesh.publisher("ann", "default")
        workloads = [
            mesh.workload(mesh.backend("reviews", version), 9080, name=f"reviews-{version}")
            for version in ("v1", "v2")
        ]
        yield mesh, mesh.sidecar("vm-1", *workloads)


def wait_for_renewal(host: SidecarProcess) -> None:
    lowest_s = float(LEASE_S)

    def is_renewed(status: dict[str, Any]) -> bool:
        nonlocal lowest_s
        left_s: float = status["registration"]["lease_s_left"]
        lowest_s = min(left_s, lowest_s)
        return left_s > lowest_s + 1.0

    host.wait_status("a renewal of the lease", is_renewed)


def test_leases_are_renewed_and_changes_arrive_over_several_expiries(meshed: Meshed) -> None:
    mesh, host = meshed
    assert LEASE_S / 3 > TOKEN_TTL_S + 1
    key = "/meshd/v1/hosts/vm-1"
    registered = mesh.client.get(key)
    for subset in ("v1", "v2")[:EXPIRIES]:
        wait_for_renewal(host)
        put = mesh.meshd("put", "-f", "-", "--wait", user="ann", stdin=reviews_to(subset))
        assert put.returncode == exits.OK, put.stdout + put.stderr
        assert host.ask(REVIEWS).version == subset
    assert mesh.client.get(key) == registered, "the lease was never lost"
    status = host.status()
    assert (status["registration"]["state"], status["store"]["watches"]) == ("registered", 1)


def test_a_watch_that_breaks_after_its_token_was_lost_reads_and_watches_again(
    meshed: Meshed,
) -> None:
    """A restart of etcd forgets all simple tokens; the compaction makes the sidecar read before it watches."""
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    assert host.process is not None
    os.kill(host.process.pid, signal.SIGSTOP)
    try:
        mesh.etcd.restart()
        mesh.put(reviews_to("v1", "other", "other"), wait=False)
        revision = mesh.put(reviews_to("v2"), wait=False)
        mesh.etcdctl("compact", str(revision))
    finally:
        os.kill(host.process.pid, signal.SIGCONT)
    host.wait_in_force(revision)
    assert host.ask(REVIEWS).version == "v2"
    assert host.status()["store"]["compactions"] == 1


def test_a_change_of_roles_disturbs_nobody(meshed: Meshed) -> None:
    mesh, host = meshed
    mesh.publisher("bob", "shop")
    revision = mesh.put(reviews_to("v1"))
    assert host.wait_in_force(revision)
    assert host.ask(REVIEWS).version == "v1"
    denied = mesh.meshd("put", "-f", "-", user="bob", stdin=reviews_to("v1"))
    assert denied.returncode == exits.UNREACHABLE
    assert 'permission denied by etcd to user "bob"' in denied.stderr


def test_a_password_that_was_changed_is_told_while_requests_go_on_until_the_file_has_it(
    meshed: Meshed,
) -> None:
    mesh, host = meshed
    mesh.put(reviews_to("v1"))
    file = mesh.password_file("vm-1")
    known = file.read_text()
    mesh.etcdctl("user", "passwd", "vm-1", "--interactive=false", stdin="changed\n")
    with host.load(REVIEWS) as load:
        mesh.etcd.restart()
        said = host.wait_status(
            "the refusal", lambda status: "authentication failed" in status["store"]["error"]
        )
        assert 'user "vm-1"' in said["store"]["error"]
        assert said["store"]["state"] != "watching"
        shown = mesh.meshd("status")
        assert shown.returncode == exits.NO
        assert "authentication failed" in shown.stdout
        load.wait_for(100)
        file.write_text("changed\n")
        began = time.monotonic()
        revision = mesh.put(reviews_to("v2"), wait=False)
        host.wait_in_force(revision)
        print(f"followed again {time.monotonic() - began:.2f} s after the file had the password")
        assert host.ask(REVIEWS).version == "v2"
    load.assert_none_failed(at_least=100)
    file.write_text(known)
    mesh.etcdctl("user", "passwd", "vm-1", "--interactive=false", stdin=known)
