"""A mesh whose etcd wants to know who asks: TLS, and users and roles made by deploy/etcd/roles.sh.

    with SecuredMesh() as mesh:                        # users prove themselves by client certificates
        mesh.roles("host", "vm-1")
        mesh.sidecar("vm-1", ...)                      # goes to etcd as the user of its own name
        mesh.meshd("put", "-f", "-", user="ann", stdin=...)

With passwords instead (`SecuredMesh(PASSWORDS)`), every user has a password file, and simple tokens live for
`TOKEN_TTL_S` seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from store.etcd.client import EtcdClient
from store.etcd.programs import find_program
from store.etcd.settings import VARIABLES, EtcdSettings
from tests.harness.certificates import Authority
from tests.harness.mesh import MeshFixture
from tests.harness.processes import EtcdProcess
from tests.harness.sidecars import SidecarProcess

__all__ = ["ADMINISTRATOR", "CERTIFICATES", "PASSWORDS", "TOKEN_TTL_S", "SecuredMesh"]

SCRIPT = Path(__file__).parents[2] / "deploy" / "etcd" / "roles.sh"
TOP = SCRIPT.parents[2]
ADMINISTRATOR = "admin"
"""The user with which the fixture itself writes."""
CERTIFICATES, PASSWORDS = "certificates", "passwords"
TOKEN_TTL_S = 5
"""How long a token lives that nobody uses; etcd looks once a second."""


class SecuredMesh(MeshFixture):
    """A `MeshFixture` on an etcd with TLS and authentication; see the module's text.

    Args:
        proof: CERTIFICATES or PASSWORDS: how users prove who they are.
        settings: As for `MeshFixture`.
    """

    def __init__(self, proof: str = CERTIFICATES, **settings: Any) -> None:
        super().__init__(**settings)
        self._proof = proof

    def __enter__(self) -> SecuredMesh:
        with ExitStack() as stack:
            self.root = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))
            stack.callback(shutil.rmtree, self.root, ignore_errors=True)
            self.authority = Authority(self.root / "ca")
            by_certificate = self._proof == CERTIFICATES
            tls = self.authority.server(require_client_cert=by_certificate)
            flags = ["--bcrypt-cost", "4"]
            flags += ["--auth-token", "simple", "--auth-token-ttl", str(TOKEN_TTL_S)]
            self.etcd = stack.enter_context(EtcdProcess(self.root / "etcd", flags, tls=tls))
            self._open_for_users()
            self.client = stack.enter_context(
                EtcdClient(EtcdSettings(**self.settings_of(ADMINISTRATOR)))
            )
            self._stack = stack.pop_all()
        return self

    def _open_for_users(self) -> None:
        if self._proof == CERTIFICATES:
            self.etcdctl("user", "add", "root", "--no-password")
        else:
            password = self.password_file("root").read_text()
            self.etcdctl("user", "add", "root", "--interactive=false", stdin=password, user="")
        self.etcdctl("user", "grant-role", "root", "root", user="")
        self.roles("init", user="")
        self.roles("administrator", ADMINISTRATOR, *self._password_option(ADMINISTRATOR), user="")
        self.roles("enable", user="")

    def settings_of(self, user: str) -> dict[str, Any]:
        """Settings of the store for a user, as a sidecar has them in its file."""
        told: dict[str, Any] = {"endpoints": [self.etcd.url], "ca": str(self.authority.ca)}
        if self._proof == PASSWORDS:
            return {**told, "user": user, "password_file": str(self.password_file(user))}
        cert, key = self._certificate(user)
        return {**told, "cert": str(cert), "key": str(key)}

    def _certificate(self, user: str) -> tuple[Path, Path]:
        made = self.root / "ca" / f"{user}.pem", self.root / "ca" / f"{user}.key"
        return made if made[0].exists() else self.authority.client(user)

    def password_file(self, user: str) -> Path:
        """The user's password file, made when it is first asked for."""
        file = self.root / f"{user}.password"
        if not file.exists():
            file.write_text(f"{user}-opens-sesame\n")
        return file

    def _password_option(self, user: str) -> Sequence[str]:
        if self._proof == CERTIFICATES:
            return ()
        return ("--password-file", str(self.password_file(user)))

    def publisher(self, user: str, *namespaces: str) -> None:
        """Make a user that may write these namespaces."""
        self.roles("publisher", user, *namespaces, *self._password_option(user))

    def host(self, node: str) -> None:
        """Make the user of a host, named as the host."""
        self.roles("host", node, *self._password_option(node))

    def roles(self, *words: str, user: str = "root") -> str:
        """`deploy/etcd/roles.sh WORDS...`, as root; returns what it printed."""
        return self._run([str(SCRIPT), *words], user)

    def etcdctl(self, *words: str, stdin: str | None = None, user: str = "root") -> str:
        """`etcdctl WORDS...` as a user; an empty user gives no password."""
        return self._run([str(find_program("etcdctl")), *words], user, stdin)

    def _run(self, command: Sequence[str], user: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            command,
            input=stdin,
            env=self._etcdctl_environment(user),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _etcdctl_environment(self, user: str) -> Mapping[str, str]:
        told = {
            "PATH": f"{find_program('etcdctl').parent}:{os.environ['PATH']}",
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": self.etcd.url,
            "ETCDCTL_CACERT": str(self.authority.ca),
        }
        if self._proof == CERTIFICATES:
            cert, key = self._certificate(user or "root")
            return {**told, "ETCDCTL_CERT": str(cert), "ETCDCTL_KEY": str(key)}
        if user:
            told["ETCDCTL_USER"] = f"{user}:{self.password_file(user).read_text().strip()}"
        return told

    def sidecar(
        self,
        node: str,
        *workloads: Mapping[str, Any],
        wait: bool = True,
        app: Sequence[str] = (),
        **settings: Any,
    ) -> SidecarProcess:
        """As of any mesh; it goes to etcd as the user of its own name."""
        told = {"etcd": self.settings_of(node), **settings}
        return super().sidecar(node, *workloads, wait=wait, app=app, **told)

    def environment(self, user: str) -> dict[str, str]:
        """What `meshd` finds in its environment when `user` runs it."""
        told = {
            VARIABLES[name][1]: value[0] if isinstance(value, list) else value
            for name, value in self.settings_of(user).items()
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        places = {"MESHD_RUN_DIR": str(self.root / "run"), "TMPDIR": str(self.root)}
        return {**kept, **told, **places, "MESHD_AUTHOR": f"{user}@desk"}

    def meshd(
        self, *words: str, stdin: str | None = None, user: str = ADMINISTRATOR, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """`meshd WORDS...` as `user` would type it; `extra` joins the environment."""
        return subprocess.run(
            [sys.executable, "-m", "meshd.cli.main", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=TOP,
            env={**self.environment(user), **extra},
            check=False,
        )

    def start_meshd(self, *words: str, user: str = ADMINISTRATOR) -> subprocess.Popen[str]:
        """`meshd WORDS...`, started and not waited for; its output is to be read from its pipes."""
        process = subprocess.Popen(
            [sys.executable, "-m", "meshd.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=TOP,
            env={**self.environment(user), "PYTHONUNBUFFERED": "1"},
        )
        self._stack.callback(_end, process)
        return process


def _end(process: subprocess.Popen[str]) -> None:
    """Nothing of it stays, however a test ended."""
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
