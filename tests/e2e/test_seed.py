"""The objects of deploy/samples/seed: each proven by requests.

The files are put as they are, but for what only a real host has: addresses of endpoints, the port of the external
service and of the gateway, and the folder of certificates.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from meshd.demo.certificates import make_authority
from tests.harness.echo import EchoBackend
from tests.harness.load import Reply, send
from tests.harness.mesh import MeshFixture
from tests.harness.sidecars import SidecarProcess, listen_port

pytestmark = [pytest.mark.real, pytest.mark.slow]

SEED = Path(__file__).parents[2] / "deploy" / "samples" / "seed"
ENDPOINT = re.compile(r"address: (192\.0\.2\.\d+), ports: \{http: \d+\}")
EXTERNAL = "ext-resource.com"
GATEWAY = "ext-host.example.com"
ORIGINALS = {
    "cookie-regex-virtual-service.yaml",
    "external-mutual-tls-destination-rule.yaml",
    "external-service-entry.yaml",
    "gateway-virtual-service.yaml",
    "https-gateway.yaml",
    "namespace-uri-virtual-service.yaml",
    "subsets-destination-rule.yaml",
    "wildcard-virtual-service.yaml",
}


class Seed:
    """The mesh with all corrected objects in force."""

    def __init__(self, mesh: MeshFixture) -> None:
        self.mesh = mesh
        self.gateway_port = listen_port()
        certs = mesh.root / "certs"
        self.authority = make_authority(certs)
        self.authority.issue(GATEWAY, stem="tls")
        (certs / "tls.pem").rename(certs / "tls.crt")
        certificate, key = self.authority.issue("mesh-client", is_client=True)
        certificate.rename(certs / "myclientcert.pem")
        key.rename(certs / "client_private_key.pem")
        self.authority.ca_file.rename(certs / "rootcacerts.pem")
        self.ca = certs / "rootcacerts.pem"
        self.external = mesh.backend("external", tls=self.server_tls(EXTERNAL))
        self.backends: dict[str, EchoBackend] = {}
        self.client = mesh.sidecar("client", wait=False)
        self.gateway = mesh.sidecar(
            "gateway", wait=False, role="gateway", labels={"app": "ext-host-gwy"}
        )
        for sidecar in mesh.running():
            sidecar.wait_ready()
        mesh.put(*(self.localised(file.read_text()) for file in sorted(SEED.glob("*.yaml"))))

    def server_tls(self, name: str) -> ssl.SSLContext:
        """A server called `name` that demands a client certificate of our CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue(name))
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def localised(self, text: str) -> str:
        """The text with addresses, ports and files of this machine."""
        text = ENDPOINT.sub(lambda found: self._endpoint(found[1]), text)
        text = text.replace("/etc/certs/", f"{self.ca.parent}/")
        text = text.replace("targetPort: 443", f"targetPort: {self.external.port}")
        text = text.replace("number: 443", f"number: {self.gateway_port}")
        static = "resolution: STATIC\n  endpoints: [{address: 127.0.0.1}]"
        return text.replace("resolution: DNS", static)

    def _endpoint(self, address: str) -> str:
        if address not in self.backends:
            self.backends[address] = self.mesh.backend(address)
        return f"address: 127.0.0.1, ports: {{http: {self.backends[address].port}}}"

    def names(self, host: str, count: int = 12, path: str = "/", **headers: str) -> list[str]:
        """Which endpoints answered requests, one after another on one connection."""
        with closing(self.client.connect()) as connection:
            return [
                send(connection, host, path, headers=headers).name.removeprefix("192.0.2.")
                for _ in range(count)
            ]


@pytest.fixture(scope="module")
def seed() -> Iterator[Seed]:
    with MeshFixture() as mesh:
        yield Seed(mesh)


def through_gateway(seed: Seed, name: str, path: str = "/") -> Reply:
    """One HTTPS request to the gateway for `name`, which its certificate must prove."""
    context = ssl.create_default_context(cafile=str(seed.ca))
    with (
        socket.create_connection(("127.0.0.1", seed.gateway_port), timeout=20) as stream,
        context.wrap_socket(stream, server_hostname=name) as secured,
        closing(http.client.HTTPConnection(name)) as connection,
    ):
        connection.sock = secured
        return send(connection, name, path)


def status_of(sidecar: SidecarProcess) -> tuple[object, object]:
    status = sidecar.status()
    return status["quarantined"], status["rejected"]


def test_every_original_has_a_corrected_version_that_says_what_was_wrong() -> None:
    files = {file.name: file.read_text() for file in SEED.glob("*.yaml")}
    assert set(files) == ORIGINALS | {"services.yaml"}
    for name in ORIGINALS:
        assert "# What was wrong in the original:" in files[name], name


def test_all_of_them_are_in_force_together(seed: Seed) -> None:
    assert seed.client.status()["objects"] == {
        "DestinationRule": 3,
        "Gateway": 1,
        "ServiceEntry": 5,
        "VirtualService": 4,
    }
    assert status_of(seed.client) == status_of(seed.gateway) == ([], [])


def test_they_are_valid_and_refer_to_what_exists(seed: Seed) -> None:
    done = seed.mesh.meshd("validate", str(SEED))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no problems" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "cookie", ["user=jason", "a=b;user=jason", "a=b;user=jason;c=d", "user=jason;c=d"]
)
def test_jason_is_known_by_his_cookie(seed: Seed, cookie: str) -> None:
    assert set(seed.names("my-svc", cookie=cookie)) == {"21", "22"}


@pytest.mark.parametrize("cookie", ["", "user=jasons", "user=jane", "xuser=jason"])
def test_everybody_else_gets_v1(seed: Seed, cookie: str) -> None:
    assert set(seed.names("my-svc", 24, cookie=cookie)) == {"11", "12"}


def test_endpoints_of_a_round_robin_subset_take_turns(seed: Seed) -> None:
    names = seed.names("my-svc", 40, cookie="user=jason")
    assert all(first != second for first, second in pairwise(names)), names


def test_endpoints_of_a_random_subset_do_not(seed: Seed) -> None:
    names = seed.names("my-svc", 100)
    assert any(first == second for first, second in pairwise(names)), names
    assert min(Counter(names).values()) > 20


@pytest.mark.parametrize("host", ["shop.my-co.org", "a.b.my-co.org", "SHOP.my-co.org:80"])
def test_whatever_ends_in_the_wildcards_domain_is_answered_by_v1(seed: Seed, host: str) -> None:
    assert set(seed.names(host)) == {"41"}


def test_the_service_behind_the_wildcard_keeps_all_versions_under_its_own_name(seed: Seed) -> None:
    assert set(seed.names("service", 24)) == {"41", "42"}


@pytest.mark.parametrize("asked", ["svc-1", "svc-2"])
def test_the_path_chooses_the_service_of_the_namespace(seed: Seed, asked: str) -> None:
    host = f"{asked}.my-namespace.svc.cluster.local"
    assert set(seed.names(host, path="/svc-1/x")) == {"51"}
    assert set(seed.names(host, path="/svc-2/x")) == {"52"}
    assert seed.client.ask(host, "/other").status == 404


def test_https_at_the_gateway_reaches_v3(seed: Seed) -> None:
    reply = through_gateway(seed, GATEWAY, "/hello")
    assert reply.name == "192.0.2.31"
    assert reply.seen["path"] == "/hello"


def test_the_gateway_proves_its_name_and_opens_no_other(seed: Seed) -> None:
    with pytest.raises(OSError):  # reset, or a certificate of another name
        through_gateway(seed, "ext-host")


def test_the_external_service_sees_the_client_certificate_of_the_mesh(seed: Seed) -> None:
    for target in ("/quote", f"http://{EXTERNAL}/quote"):
        reply = seed.client.ask(EXTERNAL, target)
        assert reply.name == "external"
        assert reply.seen["client"] == "mesh-client"
        assert reply.seen["path"] == "/quote"


def test_an_external_server_that_is_called_otherwise_is_not_believed(seed: Seed) -> None:
    with EchoBackend("impostor", tls=seed.server_tls("impostor.com")) as impostor:
        text = seed.localised((SEED / "external-service-entry.yaml").read_text())
        seed.mesh.put(text.replace(str(seed.external.port), str(impostor.port)))
        assert seed.client.ask(EXTERNAL).status == 503
        assert impostor.hits == 0
        seed.mesh.put(text)
    assert seed.client.ask(EXTERNAL).name == "external"
