"""Certificates for tests: a CA of its own, a server's certificate for 127.0.0.1, clients' with a user as name."""

from __future__ import annotations

from pathlib import Path

import trustme

from tests.harness.processes import Tls

__all__ = ["Authority"]


class Authority:
    """A CA whose files lie in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.ca))

    def server(self, *, require_client_cert: bool = True) -> Tls:
        """Files for a server on 127.0.0.1 that may also act as a client, as etcd's gateway does."""
        issued = self._authority.issue_cert("127.0.0.1", "localhost", common_name="server")
        return Tls(self.ca, *self._write(issued, "server"), require_client_cert)

    def server_of(self, name: str) -> tuple[Path, Path]:
        """(certificate, key) of a server called `name`."""
        return self._write(self._authority.issue_cert(name), name)

    def client(self, user: str) -> tuple[Path, Path]:
        """(certificate, key) of a client whose common name is `user`."""
        return self._write(
            self._authority.issue_cert(f"{user}.client.test", common_name=user), user
        )

    def _write(self, issued: trustme.LeafCert, name: str) -> tuple[Path, Path]:
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key
