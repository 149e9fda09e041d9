"""Why the sidecar reads certificates itself: what Envoy does with files that it watches (docs/xds.md, "Secrets").

A newer Envoy that keeps the old certificate here says so by failing this test: then the choice may be made anew.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from sidecar.agent.envoy_program import find_envoy
from tests.harness.identities import MeshAuthority
from tests.harness.processes import free_port, wait_until

pytestmark = pytest.mark.real

SECRET = """
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: own
  tls_certificate:
    certificate_chain: {filename: FOLDER/certs/cert.pem}
    private_key: {filename: FOLDER/certs/key.pem}
    watched_directory: {path: FOLDER/certs}
"""
BOOTSTRAP = """
node: {id: a, cluster: a}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
    filter_chains:
    - filters:
      - name: answer
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config
          response: {inline_string: hello}
      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificate_sds_secret_configs:
            - name: own
              sds_config: {path_config_source: {path: FOLDER/secret.yaml}, resource_api_version: V3}
"""


@dataclass
class Server:
    """An Envoy that watches its own files."""

    folder: Path
    port: int
    authority: MeshAuthority

    def write(self, name: str, content: bytes) -> None:
        """Rename a new file over an old one."""
        new = self.folder / name
        new.write_bytes(content)
        os.replace(new, self.folder / "certs" / name)

    def shows(self) -> int:
        """Serial number of its certificate; 0 where there is no handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), 5) as plain,
                context.wrap_socket(plain) as stream,
            ):
                shown = stream.getpeercert(binary_form=True) or b""
                return x509.load_der_x509_certificate(shown).serial_number
        except OSError:
            return 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, free_port(), MeshAuthority())
    (tmp_path / "certs").mkdir()
    certificate, key = made.authority.pair("one.example.com")
    made.write("cert.pem", certificate)
    made.write("key.pem", key)
    for name, text in (("secret.yaml", SECRET), ("envoy.yaml", BOOTSTRAP)):
        told = text.replace("FOLDER", str(tmp_path)).replace("PORT", str(made.port))
        (tmp_path / name).write_text(told)
    command = [str(find_envoy()), "-c", str(tmp_path / "envoy.yaml"), "--use-dynamic-base-id"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_until(made.shows, 20, "Envoy to serve")
            yield made
        finally:
            process.kill()


def test_a_pair_that_does_not_belong_together_takes_the_server_down(server: Server) -> None:
    certificate, key = server.authority.pair("two.example.com")
    server.write("cert.pem", certificate)
    wait_until(lambda: server.shows() == 0, 20, "the end of handshakes")
    server.write("key.pem", key)
    wait_until(server.shows, 20, "the whole pair")
