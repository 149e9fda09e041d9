"""The daemon as a whole: two contexts on a host, a second daemon, signals at any time, applications, bad ports."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.xds.session_order import RETRY_MAX_S
from tests.harness.load import send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import free_port, wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def mesh() -> Iterator[MeshFixture]:
    with MeshFixture() as mesh:
        yield mesh


def answer(port: int, host: str) -> str:
    """The version that answers a request for `host` through an outbound listener; its status if none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        reply = send(connection, host, "/")
    finally:
        connection.close()
    return reply.version if reply.status == 200 else str(reply.status)


def entry(namespace: str, port: int) -> str:
    """A service `shop` of one namespace: a short name means another one in each."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop, namespace: {namespace}}}
spec:
  hosts: [shop.{namespace}.svc.cluster.local]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""


RULE_OF_ONE_CONTEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gold-only, namespace: gold}
spec:
  hosts: [shop.gold.svc.cluster.local]
  http:
  - match: [{sourceLabels: {tier: batch}}]
    directResponse: {status: 429}
  - route: [{destination: {host: shop.gold.svc.cluster.local, port: {number: 80}}}]
"""


def test_two_contexts_resolve_short_names_and_source_labels_each_for_itself(
    mesh: MeshFixture,
) -> None:
    gold, iron = listen_port(), listen_port()
    contexts = [
        {"name": "gold", "namespace": "gold", "outbound_port": gold},
        {
            "name": "iron",
            "namespace": "iron",
            "outbound_port": iron,
            "labels": {"tier": "batch"},
        },
    ]
    sidecar = mesh.sidecar("two", contexts=contexts)
    shops = {name: mesh.backend("shop", name) for name in ("gold", "iron")}
    mesh.put(*(entry(name, shop.port) for name, shop in shops.items()))
    assert (answer(gold, "shop"), answer(iron, "shop")) == ("gold", "iron")
    assert answer(iron, "shop.gold.svc.cluster.local") == "gold"
    mesh.put(RULE_OF_ONE_CONTEXT)
    assert answer(gold, "shop") == "gold"
    assert answer(iron, "shop.gold.svc.cluster.local") == "429"
    assert answer(iron, "shop") == "iron"
    status = sidecar.status()
    assert [row["outbound"] for row in status["contexts"]] == [
        f"127.0.0.1:{gold}",
        f"127.0.0.1:{iron}",
    ]
    for name in ("gold", "iron"):
        code, text = sidecar.page(f"/v1/trace?url=http://shop/&context={name}")
        assert code == 200, text
        assert f"shop.{name}.svc" in text
    code, text = sidecar.page("/v1/trace?url=http://shop/")
    assert code == 404, text
    assert "gold, iron" in text
    assert sidecar.end() == 0


def test_a_second_daemon_of_the_same_node_is_refused_and_the_first_serves_on(
    mesh: MeshFixture,
) -> None:
    first = mesh.sidecar("twin")
    config = mesh.root / "twin.toml"
    second = subprocess.run(
        [sys.executable, "-m", "sidecar.agent.main", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 3, second.stderr
    assert "another sidecar" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.status()["config"]["state"] == "in-force"
    assert first.end() == 0


def test_a_signal_while_nothing_is_in_force_ends_the_daemon(mesh: MeshFixture) -> None:
    """etcd is away and there is nothing on disk: it waits, but not for signals."""
    nowhere = {"endpoints": [f"http://127.0.0.1:{free_port()}"]}
    app = (sys.executable, "-c", "print('the application ran')")
    for node, command, status in (("alone", (), 0), ("alone-app", app, 128 + signal.SIGTERM)):
        sidecar = mesh.sidecar(node, wait=False, app=command, etcd=nowhere)
        wait_until(lambda s=sidecar: s.page("/healthz")[0] == 200, 20, f"{node} to live")  # type: ignore[misc]
        assert sidecar.page("/readyz")[0] == 503
        assert sidecar.end() == status
    assert "the application ran" not in sidecar.log_tail()
    assert sidecar.envoy_pid() is None, "with an application it leaves with its Envoy"


def test_a_signal_during_the_start_is_heeded(mesh: MeshFixture) -> None:
    sidecar = mesh.sidecar("early", wait=False, on_stop="leave")
    wait_until((sidecar.run_dir / "sidecar.lock").exists, 20, "the daemon to begin its start")
    assert sidecar.process is not None
    while sidecar.process.poll() is None and not (sidecar.run_dir / "ads.sock").exists():
        pass
    assert sidecar.end() == 0
    assert sidecar.envoy_pid() is None


def test_stopping_with_leave_takes_envoy_and_registration_along(mesh: MeshFixture) -> None:
    workload = mesh.workload(mesh.backend("leaver", "v1"), 9080)
    sidecar = mesh.sidecar("leaver", workload, on_stop="leave")
    assert mesh.client.get("/meshd/v1/hosts/leaver") is not None
    assert sidecar.end() == 0
    assert mesh.client.get("/meshd/v1/hosts/leaver") is None
    assert sidecar.envoy_pid() is None


def test_an_application_gets_its_outbound_proxy_and_its_signal_after_the_withdrawal(
    mesh: MeshFixture,
) -> None:
    told = mesh.root / "told"
    script = (
        "import os, signal, pathlib, time\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "def end(number, frame):\n"
        "    told.write_text('signal')\n"
        "    raise SystemExit(7)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "told.write_text(os.environ['MESHD_OUTBOUND'])\n"
        "while True: time.sleep(1)\n"
    )
    workload = mesh.workload(mesh.backend("own", "v1"), 9080)
    sidecar = mesh.sidecar("own", workload, app=(sys.executable, "-c", script))
    address = f"http://127.0.0.1:{sidecar.port}"
    wait_until(
        lambda: told.exists() and told.read_text() == address, 20, "the application to start"
    )
    assert sidecar.process is not None
    sidecar.process.send_signal(signal.SIGTERM)
    key = "/meshd/v1/hosts/own"
    states = []
    while True:
        was_told = told.read_text() == "signal"
        if (found := mesh.client.get(key)) is None:
            break
        assert not was_told, "the application was told before the withdrawal"
        states.append(json.loads(found.value)["state"])
    assert "draining" in states
    assert sidecar.process.wait(20) == 7
    assert told.read_text() == "signal"


def test_an_application_that_is_none_is_refused_before_anything_starts(mesh: MeshFixture) -> None:
    sidecar = mesh.sidecar("typo", wait=False, app=("./no-such-program",))
    assert sidecar.process is not None
    assert sidecar.process.wait(20) == 3
    assert "no-such-program" in sidecar.log_tail()
    assert sidecar.envoy_pid() is None


def test_a_host_whose_inbound_port_is_taken_does_not_register_until_it_is_free(
    mesh: MeshFixture,
) -> None:
    workload = mesh.workload(mesh.backend("blocked", "v1"), 9080)
    port = workload["ports"][0]["inbound_port"]
    with socket.create_server(("127.0.0.1", port)):
        sidecar = mesh.sidecar("blocked", workload, wait=False)
        status = sidecar.wait_ready().wait_status(
            "the refusal", lambda status: "in use" in status["registration"]["error"]
        )
        assert status["registration"]["state"] == "waiting"
        assert status["rejected"]
        assert not status["quarantined"]
        assert mesh.client.get("/meshd/v1/hosts/blocked") is None
    # The longer it was taken, the longer until it is offered again.
    sidecar.wait_status(
        "the registration",
        lambda status: status["registration"]["state"] == "registered",
        RETRY_MAX_S + 30,
    )
    mesh.wait_registered(sidecar)
    assert mesh.client.get("/meshd/v1/hosts/blocked") is not None
    assert sidecar.end() == 0


def test_a_killed_envoy_is_not_ready_until_its_successor_has_everything(mesh: MeshFixture) -> None:
    sidecar = mesh.sidecar("phoenix")
    pid = sidecar.kill_envoy()
    wait_until(lambda: sidecar.page("/readyz")[0] == 503, 5, "readiness to be taken back")
    sidecar.wait_ready()
    status = sidecar.status()
    assert status["envoy"]["pid"] != pid
    assert status["envoy"]["restarts"] == 1
    assert sidecar.envoy_stats("listener_manager.total_listeners_active")[
        "listener_manager.total_listeners_active"
    ]
    assert sidecar.end() == 0


def test_slow_and_hostile_callers_of_the_status_api_disturb_nobody(mesh: MeshFixture) -> None:
    sidecar = mesh.sidecar("asked")
    path = str(sidecar.run_dir / "status.sock")
    callers = []
    for said in (
        b"",
        b"GET /v1/st",
        b"\x00\xff\xfe" * 1000,
        b"POST / HTTP/1.1\r\nhost: x\r\n",
    ) * 20:
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(path)
        caller.sendall(said)
        callers.append(caller)
    for target in (
        "/v1/trace?url=http://[::1",
        "/v1/trace?url=http://a:b/",
        "/v1/in-force?revision=nan",
        "/v1/endpoints?host=%00",
    ):
        code, text = sidecar.page(target)
        assert 400 <= code < 500, (target, code, text)
        assert json.loads(text)["error"]
    assert sidecar.status()["config"]["state"] == "in-force"
    for caller in callers:
        caller.close()
    code, text = sidecar.page("/metrics")
    assert code == 200
    assert "meshd_xds_pushes_total{" in text
    assert sidecar.end() == 0


def test_a_directory_of_another_user_is_refused(mesh: MeshFixture) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    sidecar = SidecarProcess("stranger", mesh.root, {"etcd": {"endpoints": [mesh.etcd.url]}})
    strange = Path(sidecar.run_dir)
    strange.mkdir(parents=True)
    os.chown(strange, 65534, 65534)
    assert sidecar.start().process is not None
    assert sidecar.process is not None
    assert sidecar.process.wait(20) == 3
    assert "belongs to another user" in sidecar.log_tail()


def test_a_host_that_is_kept_stays_kept_over_a_restart_of_those_who_keep_it(
    mesh: MeshFixture,
) -> None:
    """Its registration ran out, so the store has it no more; its Envoy serves on."""
    backend = mesh.backend("widow", "v1")
    silent = mesh.sidecar("silent", mesh.workload(backend, 9080))
    keeper = mesh.sidecar("keeper")
    keeper.wait_in_force(mesh.settle())
    silent.kill()

    def is_kept(status: dict[str, Any]) -> bool:
        # Hosts of other tests of this module may have run out beside it.
        return "silent" in [row["host"] for row in status["kept_hosts"]]

    keeper.wait_status("the end of the lease", is_kept)
    revision = keeper.status()["config"]["revision_in_force"]
    keeper.wait_last_good(revision)
    assert keeper.ask("widow:9080").version == "v1"
    keeper.kill()
    keeper.start().wait_ready()
    assert is_kept(keeper.status())
    assert keeper.ask("widow:9080").version == "v1"
    assert keeper.end() == 0
