"""Mutual TLS between sidecars with identities: by itself, by rule, beside plain text; each caller as who it is."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.identities import MeshAuthority, spiffe
from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

REVIEWS = "reviews.default:9080"
HOST = "reviews.default.svc.cluster.local"


def rule(tls: str, *, policy: str = "", subsets: str = "[]") -> str:
    """A DestinationRule of reviews with these TLS settings, and more policy, as inline YAML."""
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: {HOST}
  trafficPolicy: {{tls: {{{tls}}}{policy}}}
  subsets: {subsets}
"""


@dataclass
class Meshed:
    """A server with an identity, and a client host with two contexts that each have one."""

    mesh: MeshFixture
    authority: MeshAuthority
    server: SidecarProcess
    client: SidecarProcess
    ports: dict[str, int]
    """Outbound listeners of the client's contexts."""

    def ask(self, context: str = "web", host: str = REVIEWS, **options: object) -> Reply:
        """A request on behalf of a context."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[context], timeout=45)
        try:
            return send(connection, host, **options)  # type: ignore[arg-type] # named by tests
        finally:
            connection.close()

    def caller(self, context: str = "web") -> str:
        """Who the application is told that asks; empty where nobody is."""
        return peer(self.ask(context))

    def files(self, workload: str) -> Path:
        """Folder of a workload's identity."""
        return self.mesh.root / "ids" / workload


def peer(reply: Reply) -> str:
    """The SPIFFE id of the client that the application was told; empty where it was told none."""
    told = reply.seen["headers"].get("x-forwarded-client-cert", "")
    found = re.search(r"URI=([^;,]+)", told)
    return found.group(1) if found else ""


@pytest.fixture(scope="module")
def meshed() -> Iterator[Meshed]:
    with MeshFixture() as mesh:
        authority = MeshAuthority()
        ids = mesh.root / "ids"
        for account, namespace in (("reviews", "default"), ("web", "default"), ("batch", "jobs")):
            authority.workload(ids / account, spiffe(account, namespace))
        server = mesh.sidecar(
            "server",
            mesh.workload(mesh.backend("reviews"), 9080),
            service_account="reviews",
            identity={"directory": str(ids / "reviews")},
        )
        ports = {"web": listen_port(), "batch": listen_port()}
        client = mesh.sidecar(
            "client",
            contexts=[
                {
                    "name": name,
                    "namespace": namespace,
                    "service_account": name,
                    "outbound_port": ports[name],
                    "identity": {"directory": str(ids / name)},
                }
                for name, namespace in (("web", "default"), ("batch", "jobs"))
            ],
        )
        yield Meshed(mesh, authority, server, client, ports)


@pytest.fixture(autouse=True)
def without_rules(meshed: Meshed) -> Iterator[None]:
    yield
    meshed.mesh.meshd("delete", "destinationrule", "reviews")


def test_it_is_taken_by_itself_between_identities_and_each_context_shows_its_own(
    meshed: Meshed,
) -> None:
    assert meshed.caller("web") == spiffe("web")
    assert meshed.caller("batch") == spiffe("batch", "jobs")


def test_a_rule_that_disables_it_sends_plain_text_to_the_same_port(meshed: Meshed) -> None:
    meshed.mesh.put(rule("mode: DISABLE"))
    reply = meshed.ask("web", headers={"x-forwarded-client-cert": "URI=spiffe://evil/x"})
    assert reply.status == 200
    assert peer(reply) == ""


def test_istio_mutual_is_in_force_and_names_are_checked(meshed: Meshed) -> None:
    meshed.mesh.put(rule("mode: ISTIO_MUTUAL"))
    assert meshed.caller("web") == spiffe("web")
    assert meshed.caller("batch") == spiffe("batch", "jobs")
    meshed.mesh.put(rule(f"mode: ISTIO_MUTUAL, subjectAltNames: ['{spiffe('reviews')}']"))
    assert meshed.caller("web") == spiffe("web")
    meshed.mesh.put(rule(f"mode: ISTIO_MUTUAL, subjectAltNames: ['{spiffe('ratings')}']"))
    assert meshed.ask("web").status == 503


def test_the_sample_rule_lets_through_to_the_server_that_it_names(meshed: Meshed) -> None:
    sample = Path(__file__).parents[2] / "deploy/samples/mutual-tls/destination-rule.yaml"
    meshed.mesh.put(sample.read_text())
    assert meshed.caller("web") == spiffe("web")
    meshed.mesh.put(sample.read_text().replace("sa/reviews", "sa/ratings"))
    assert meshed.ask("web").status == 503


def test_status_names_the_identities(meshed: Meshed) -> None:
    rows = {row["context"]: row for row in meshed.client.status()["identities"]}
    assert rows["web"]["spiffe_id"] == spiffe("web")
    assert rows["web"]["names"] == [spiffe("web")]
    assert (rows["batch"]["state"], rows["batch"]["problem"]) == ("held", "")
    text = meshed.client.page("/v1/status")[1] + meshed.client.log_tail(1 << 20)
    assert "PRIVATE KEY" not in text


def test_envoys_own_dump_shows_no_key(meshed: Meshed) -> None:
    dump = meshed.client.envoy_page("/config_dump")
    assert "default.web" in dump
    assert base64.b64encode(b"[redacted]").decode() in dump
    key = (meshed.files("web") / "key.pem").read_bytes()
    assert key.decode() not in dump
    assert base64.b64encode(key).decode()[:60] not in dump


FRESH = ", connectionPool: {http: {maxRequestsPerConnection: 1}}"
"""Each request on a connection of its own: one that is open shows what it was opened with."""


def renamed(folder: Path, new: Path) -> None:
    for name in ("cert-chain.pem", "key.pem"):
        shutil.copy(new / name, folder / f"{name}.new")
        os.replace(folder / f"{name}.new", folder / name)


def written_in_place(folder: Path, new: Path) -> None:
    for name in ("cert-chain.pem", "key.pem"):
        (folder / name).write_bytes((new / name).read_bytes())


def linked(folder: Path, new: Path) -> None:
    for name in ("cert-chain.pem", "key.pem"):
        (folder / f"{name}.new").symlink_to(new / name)
        os.replace(folder / f"{name}.new", folder / name)


@pytest.mark.parametrize("renew", [renamed, written_in_place, linked])
def test_a_renewed_certificate_is_shown_within_a_second_and_nothing_else_changes(
    meshed: Meshed, renew: Callable[[Path, Path], None]
) -> None:
    meshed.mesh.put(rule("mode: ISTIO_MUTUAL", policy=FRESH))
    before = meshed.client.envoy_resources()
    name = spiffe(f"web-{renew.__name__}")
    renew(
        meshed.files("web"),
        meshed.authority.workload(meshed.mesh.root / "new" / renew.__name__, name),
    )
    began = time.monotonic()
    wait_until(lambda: meshed.caller("web") == name, 20, "the renewed certificate")
    took_s = time.monotonic() - began
    print(f"{renew.__name__}: {took_s:.3f} s")
    after = meshed.client.envoy_resources()
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed
    assert all("secret" in key for key in changed), changed
    assert meshed.caller("batch") == spiffe("batch", "jobs")


def test_a_broken_file_keeps_the_old_certificate_and_says_so(meshed: Meshed) -> None:
    meshed.mesh.put(rule("mode: ISTIO_MUTUAL", policy=FRESH))
    key = meshed.files("web") / "key.pem"
    good, name = key.read_bytes(), meshed.caller("web")
    key.write_bytes((meshed.files("batch") / "key.pem").read_bytes())

    def kept(status: dict[str, list[dict[str, str]]]) -> bool:
        return status["identities"][0]["state"] == "kept"

    status = meshed.client.wait_status("a broken identity", kept)
    problem = status["identities"][0]["problem"]
    assert f"{key} does not belong to the first certificate" in problem
    assert status["secrets"]["broken"][0]["keeps_old"]
    assert meshed.caller("web") == name
    assert "certificate_broken" in meshed.client.log.read_text()
    metrics = meshed.client.page("/metrics")[1]
    # A look between the writing of a certificate and of its key, in a test before, has counted as well.
    assert re.search(r'meshd_secret_readings_total\{outcome="broken"\} [1-9]', metrics)
    assert 'meshd_secrets{state="kept"} 1.0' in metrics
    killed = meshed.client.kill_envoy()
    wait_until(lambda: meshed.client.envoy_pid() not in (None, killed), 30, "another Envoy")
    wait_until(lambda: meshed.ask().status == 200, 30, "the other Envoy to serve")
    assert meshed.caller("web") == name, "it has what the files held when they were good"
    key.write_bytes(good)
    meshed.client.wait_status("a whole identity", lambda status: not kept(status))
    assert meshed.caller("web") == name


def test_a_sidecar_that_starts_with_broken_files_takes_nothing_from_its_envoy(
    meshed: Meshed,
) -> None:
    meshed.mesh.put(rule("mode: ISTIO_MUTUAL", policy=FRESH))
    key = meshed.files("web") / "key.pem"
    good, name = key.read_bytes(), meshed.caller("web")
    key.write_bytes(b"")
    meshed.client.kill()
    meshed.client.start().wait_ready()

    def missing(status: dict[str, list[dict[str, str]]]) -> bool:
        return status["identities"][0]["state"] == "missing"

    status = meshed.client.wait_status("a missing identity", missing)
    assert any(
        row["type"] == "Secret" and row["name"] == "default.web" for row in status["rejected"]
    )
    assert meshed.caller("web") == name
    key.write_bytes(good)
    meshed.client.wait_status("a whole identity", lambda status: not missing(status))
    assert meshed.caller("web") == name


def test_a_rule_for_mutual_tls_is_never_kept_by_plain_text(meshed: Meshed) -> None:
    bare = meshed.mesh.sidecar("bare")
    try:
        assert bare.ask(REVIEWS).status == 200
        meshed.mesh.put(rule("mode: ISTIO_MUTUAL"))
        refused = bare.ask(REVIEWS)
        assert refused.status == 503
        detail = {row["detail"] for row in bare.status()["rejected"]}
        assert any("no identity; name its files under `identity`" in text for text in detail)
    finally:
        bare.remove()
        del meshed.mesh.sidecars["bare"]


def test_a_put_that_waits_tells_of_files_that_are_missing(meshed: Meshed) -> None:
    files = "clientCertificate: /none/c, privateKey: /none/k, caCertificates: /none/a"
    done = meshed.mesh.meshd("put", "-f", "-", "--wait", stdin=rule(f"mode: MUTUAL, {files}"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "/none/c cannot be read: No such file or directory" in done.stdout + done.stderr
    status = meshed.mesh.meshd("status", "client")
    assert status.returncode == 1
    assert "no certificate for DestinationRule/default/reviews" in status.stdout
