"""`meshd graph` as a person types it; the pictures themselves are tested in tests/meshd/graph."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd.cli import exits
from store.codec import encode
from store.etcd.client import EtcdClient
from tests.harness.command_line import TOP, CommandLine
from tests.harness.fake_agent import FakeAgent
from tests.harness.processes import EtcdProcess
from tests.harness.publishing import put, settings
from tests.harness.routing import object_of, service_of

SEED = TOP / "deploy" / "samples" / "seed"


def test_files_are_drawn_without_a_store(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED))
    assert ran.status == exits.OK
    assert "host my-svc.default.svc.cluster.local:80" in ran.out
    assert "gateway default/ext-host-gwy" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize("form", ["svg", "json", "dot"])
def test_only_the_picture_goes_to_standard_output(machine: CommandLine, form: str) -> None:
    ran = machine("graph", "-f", str(SEED), "-o", form)
    match form:
        case "svg":
            ET.fromstring(ran.out)
        case "json":
            assert {"nodes", "edges", "title", "hidden", "notes"} == json.loads(ran.out).keys()
        case _:
            assert ran.out.startswith("digraph mesh {")
    assert "8 hosts" in ran.err


def test_a_file_of_a_large_mesh_is_cut_unless_all_is_asked_for(machine: CommandLine) -> None:
    services = [service_of(f"s{n}.default.svc.cluster.local") for n in range(60)]
    file = machine.file("mesh.json", "\n---\n".join(json.dumps(one) for one in services))
    cut = machine("graph", "-f", str(file))
    assert "and 21 more hosts  --all draws all, --host NAME one" in cut.out
    assert "left out: 21 hosts" in cut.out
    assert "left out" not in machine("graph", "-f", str(file), "--all").out
    document = json.loads(machine("graph", "-f", str(file), "-o", "json").out)
    assert document["hidden"] == {}


def test_a_namespace_is_that_of_the_workload_and_contradicts_no_file(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "-n", "my-namespace", "--host", "svc-1")
    assert ran.out.startswith("Who reaches whom: workload in namespace my-namespace, only svc-1\n")


def test_a_host_that_nobody_knows_is_not_found(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "--host", "nobody")
    assert ran.status == exits.NOT_FOUND
    assert 'host "nobody" is not to be seen by workload in namespace default' in ran.err


def test_a_gateway_workload_that_no_gateway_selects_is_told_so(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "--gateway", "-l", "app=other")
    assert ran.status == exits.NOT_FOUND
    assert "no Gateway selects it" in ran.err


def test_a_gateway_workload_is_drawn_by_what_it_opens(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "--gateway", "-l", "app=ext-host-gwy")
    assert ran.status == exits.OK
    assert "host ext-host.example.com:443" in ran.out
    assert "any other host" not in ran.out


def test_invalid_files_are_refused_with_every_problem(machine: CommandLine) -> None:
    broken = {"spec": {"hosts": ["a"], "http": [{"rote": []}]}}
    file = machine.file("a.json", json.dumps({**object_of("VirtualService", "a", {}), **broken}))
    ran = machine("graph", "-f", str(file))
    assert ran.status == exits.INVALID
    assert "MESH0102" in ran.err
    assert "nothing was drawn" in ran.err
    assert ran.out == ""


def test_an_object_that_is_there_twice_is_refused(machine: CommandLine) -> None:
    file = machine.file("a.json", json.dumps(service_of("a.com")))
    other = machine.file("b.json", json.dumps(service_of("a.com")))
    ran = machine("graph", "-f", str(file), "-f", str(other))
    assert ran.status == exits.INVALID
    assert "ServiceEntry/default/a.com is there twice" in ran.err


def test_a_host_is_not_registered_in_files(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "--from", "vm-1")
    assert ran.status == exits.NOT_FOUND
    assert 'no host "vm-1" is registered in these files' in ran.err


def test_sidecars_are_not_asked_about_files(machine: CommandLine) -> None:
    ran = machine("graph", "-f", str(SEED), "--live")
    assert ran.status == exits.USAGE
    assert "--live asks sidecars about the mesh" in ran.err


def test_a_store_that_nobody_answers_for_is_said_to_be_so(machine: CommandLine) -> None:
    assert machine("graph", "--request-timeout", "0.2").status == exits.UNREACHABLE


REGISTRATION = {
    "apiVersion": "meshd.io/v1",
    "kind": "HostRegistration",
    "host": "vm-1",
    "address": "10.0.0.1",
    "workloads": [
        {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        {
            "name": "reviews",
            "service": "reviews",
            "ports": [{"number": 9080, "protocol": "HTTP"}],
        },
    ],
}


@pytest.fixture
def stored(etcd: EtcdProcess, prefix: str, tmp_path: Path, run_dir: Path) -> Iterator[CommandLine]:
    """A store with one registered host and a route that only workloads of `shop` have."""
    with EtcdClient(settings(etcd.url, prefix)) as client:
        route = {"route": [{"destination": {"host": "reviews.default.svc.cluster.local"}}]}
        spec = {"hosts": ["x.com"], "exportTo": ["."], "http": [route]}
        put(client, object_of("VirtualService", "x", spec, "shop"))
        client.put(f"{prefix}/hosts/vm-1", encode(REGISTRATION))
        environment = {
            "MESHD_ETCD": etcd.url,
            "MESHD_PREFIX": prefix,
            "MESHD_RUN_DIR": str(run_dir),
        }
        yield CommandLine(tmp_path, environment)


@pytest.mark.real
def test_the_store_is_drawn_with_registered_endpoints(stored: CommandLine) -> None:
    ran = stored("graph", "--host", "reviews")
    assert ran.status == exits.OK
    assert "endpoint 10.0.0.1:9080  healthy  on vm-1" in ran.out


@pytest.mark.real
def test_a_registered_host_sees_what_its_workload_sees(stored: CommandLine) -> None:
    first = stored("graph", "--from", "vm-1")
    assert first.out.startswith(
        "Who reaches whom: workload on vm-1 in namespace shop with app=web\n"
    )
    assert "host x.com:80" in first.out
    other = stored("graph", "--from", "vm-1/reviews")
    assert "host x.com:80" not in other.out
    unknown = stored("graph", "--from", "vm-1/nobody")
    assert unknown.status == exits.NOT_FOUND
    assert 'vm-1 has no workload "nobody"' in unknown.err
    assert "It has: web, reviews" in unknown.err


@pytest.mark.real
@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (
            {"state": "ejected", "reason": "quorum", "until_s": 20.0},
            "ejected  ends in 20s, enough accuse it",
        ),
        ({"locally_ejected": True}, "ejected  local, this host's own Envoy ejected it"),
        ({"state": "withheld", "imposed": "ejected"}, "ejected  withheld"),
        ({"state": "trial", "imposed": "trial"}, "healthy"),
        ({"state": "withheld", "reason": "quorum"}, "healthy"),
    ],
)
def test_live_marks_what_a_sidecar_knows_as_ejected(
    stored: CommandLine, near: FakeAgent, row: dict[str, object], shown: str
) -> None:
    place = {
        "destination": "reviews.default.svc.cluster.local:9080",
        "endpoint": "10.0.0.1:9080",
    }
    gossip = {"state": "on", "reason": ""}
    answer = {"node": "near", "gossip": gossip, "state": "on", "endpoints": [{**place, **row}]}
    near.answers["/v1/ejections"] = (200, answer)
    ran = stored("graph", "--host", "reviews", "--live")
    assert f"endpoint 10.0.0.1:9080  {shown}  on vm-1" in ran.out


@pytest.mark.real
def test_live_without_shared_ejection_says_so(stored: CommandLine, near: FakeAgent) -> None:
    gossip = {"state": "off", "reason": "no key"}
    near.answers["/v1/ejections"] = (200, {"node": "near", "gossip": gossip, "state": "off"})
    ran = stored("graph", "--host", "reviews", "--live")
    assert ran.status == exits.OK
    assert "shared ejection is off here" in ran.err
    assert "endpoint 10.0.0.1:9080  healthy" in ran.out
