"""Certificates for a test of its own, and a client that speaks TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.harness.upstreams import request

__all__ = ["Authority", "https"]


@dataclass
class Authority:
    """A certificate authority whose files lie in a folder."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.ca.cert_pem.write_to_path(str(self.path("ca.pem")))

    def path(self, name: str) -> Path:
        return self.folder / name

    def issue(self, name: str) -> str:
        """Write `<name>.pem` and `<name>.key`; return YAML that names both, keys to be filled in."""
        made = self.ca.issue_cert(name)
        for number, blob in enumerate(made.cert_chain_pems):
            blob.write_to_path(str(self.path(f"{name}.pem")), append=number > 0)
        made.private_key_pem.write_to_path(str(self.path(f"{name}.key")))
        return name

    def issue_as(self, kind: str, name: str, folder: Path) -> None:
        """Write `tls.crt` and `tls.key` of a server with a key of this kind."""
        folder.mkdir()
        made = self.ca.issue_cert(name, key_type=trustme.KeyType[kind])
        made.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
        made.private_key_pem.write_to_path(str(folder / "tls.key"))

    def server(self, name: str, *, mutual: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(name).configure_cert(context)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


async def https(port: int, host: str, context: ssl.SSLContext) -> tuple[int, str]:
    """A GET over TLS with `host` as server name; status 0 when there was no TLS."""
    answer = await request(port, host, tls=context, server_name=host)
    return answer.status, answer.text
