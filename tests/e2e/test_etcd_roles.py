"""deploy/etcd/roles.sh against a real etcd with TLS, client certificates and authentication on.

Each role is proven by what it may and what it may not do.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from store.changes import object_ref, plan_delete, plan_put, plan_rollback
from store.etcd.client import EtcdClient
from store.etcd.failures import StoreDenied
from store.etcd.history import forget_expired, list_history, read_change
from store.etcd.programs import find_program
from store.etcd.publishing import Published, authorship, publish, read_current
from store.etcd.settings import EtcdSettings
from store.keys import object_key
from store.transactions import Put, Transaction
from tests.harness.certificates import Authority
from tests.harness.processes import EtcdProcess

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parents[2] / "deploy" / "etcd" / "roles.sh"
PREFIX = "/meshd/v1"


@dataclass
class Mesh:
    """An etcd with the roles of a mesh, and clients of it by user."""

    etcd: EtcdProcess
    authority: Authority
    clients: dict[str, EtcdClient]

    def settings(self, user: str) -> EtcdSettings:
        cert, key = self.authority.client(user)
        return EtcdSettings(
            endpoints=(self.etcd.url,), ca=str(self.authority.ca), cert=str(cert), key=str(key)
        )

    def client(self, user: str) -> EtcdClient:
        if user not in self.clients:
            self.clients[user] = EtcdClient(self.settings(user))
        return self.clients[user]

    def environment(self) -> dict[str, str]:
        cert, key = self.authority.client("root")
        programs = {find_program("etcdctl").parent.as_posix(), *os.environ["PATH"].split(":")}
        return {
            "PATH": ":".join(sorted(programs, key=lambda path: "etcdbin" not in path)),
            "ETCDCTL_ENDPOINTS": self.etcd.url,
            "ETCDCTL_CACERT": str(self.authority.ca),
            "ETCDCTL_CERT": str(cert),
            "ETCDCTL_KEY": str(key),
        }

    def roles(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    flags = ("--bcrypt-cost", "4")
    with EtcdProcess(tmp_path_factory.mktemp("etcd"), flags, tls=authority.server()) as etcd:
        made = Mesh(etcd, authority, {})
        ctl = [str(find_program("etcdctl"))]
        for words in (
            ["user", "add", "root", "--no-password"],
            ["user", "grant-role", "root", "root"],
        ):
            subprocess.run([*ctl, *words], env=made.environment(), check=True, capture_output=True)
        done(made.roles("init"))
        done(made.roles("administrator", "admin"))
        done(made.roles("publisher", "shop-team", "shop", "cart"))
        done(made.roles("host", "vm-1"))
        done(made.roles("enable"))
        yield made
        for client in made.clients.values():
            client.close()


def rule(namespace: str, name: str = "reviews", text: str = "") -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"text": text}},
        "spec": {"host": name},
    }


def put(client: EtcdClient, *documents: dict[str, object]) -> Published:
    keys = [object_key(object_ref(document)) for document in documents]
    current = read_current(client, keys)
    plan = plan_put(documents, current.entries, revision=current.revision)
    return publish(client, plan, authorship("test"))


def denied(call: Callable[[], object]) -> bool:
    with pytest.raises(StoreDenied, match="permission denied"):
        call()
    return True


def test_a_publisher_puts_rolls_back_and_deletes_in_its_own_namespaces(mesh: Mesh) -> None:
    team = mesh.client("shop-team")
    put(team, rule("shop", text="one"))
    second = put(team, rule("shop", text="two"), rule("cart"))
    records = read_change(team, second.change, namespace="shop")
    assert [record.namespace for record in records] == ["shop", "cart"]
    keys = [one.key for record in records for one in record.overwrote]
    current = read_current(team, keys)
    publish(
        team,
        plan_rollback(records, current.entries, revision=current.revision),
        authorship("test"),
    )
    assert len(list_history(team, namespace="shop").records) == 3
    key = object_key(object_ref(rule("shop")))
    current = read_current(team, [key])
    publish(
        team, plan_delete([key], current.entries, revision=current.revision), authorship("test")
    )
    assert team.list_prefix(f"{PREFIX}/ns/shop").entries == ()
    assert forget_expired(team, "shop", age_s_max=3600.0, kept_max=1)


def test_a_publisher_puts_many_objects_under_shared_guards(mesh: Mesh) -> None:
    documents = [rule("shop", f"r{number}") for number in range(250)]
    assert put(mesh.client("shop-team"), *documents).revision


@pytest.mark.parametrize(
    "key",
    [
        "ns/default/destinationrules/reviews",
        "ns/shopping/destinationrules/reviews",
        "ns/shop0",
        "mesh",
        "format",
        "hosts/vm-1",
        "admission/vm-1",
    ],
)
def test_a_publisher_writes_nothing_else(mesh: Mesh, key: str) -> None:
    assert denied(lambda: mesh.client("shop-team").put(f"{PREFIX}/{key}", b"{}"))


def test_a_publisher_reads_settings_and_not_what_others_have(mesh: Mesh) -> None:
    team = mesh.client("shop-team")
    assert team.get(f"{PREFIX}/format") is not None
    assert team.get(f"{PREFIX}/mesh") is None
    assert denied(lambda: team.get(f"{PREFIX}/ns/default/gateways/g"))
    assert denied(lambda: team.list_prefix(PREFIX))
    assert denied(lambda: list_history(team))
    assert denied(lambda: list_history(team, namespace="default"))
    assert denied(lambda: list_history(team, namespace=""))
    assert denied(lambda: put(team, rule("shop"), rule("default")))


def test_a_host_reads_all_of_the_mesh_and_its_history(mesh: Mesh) -> None:
    put(mesh.client("admin"), rule("default"))
    host = mesh.client("vm-1")
    assert "ns/default/destinationrules/reviews" in host.keys_only(PREFIX).mod_revisions
    assert list_history(host).records


def test_a_host_writes_its_own_registration_under_its_lease_and_nothing_else(mesh: Mesh) -> None:
    host = mesh.client("vm-1")
    lease = host.lease_grant(30.0)
    host.put(f"{PREFIX}/hosts/vm-1", b"{}", lease=lease.id)
    assert host.lease_keepalive(lease.id) == 30.0
    host.lease_revoke(lease.id)
    assert host.get(f"{PREFIX}/hosts/vm-1") is None
    for key in (
        "hosts/vm-10",
        "hosts/vm-2",
        "ns/default/gateways/g",
        "mesh",
        "admission/vm-1",
        "format",
    ):
        assert denied(lambda key=key: host.put(f"{PREFIX}/{key}", b"{}"))  # type: ignore[misc]  # bound now
    assert denied(lambda: host.put(f"{PREFIX}-history/default/x", b"{}"))
    assert denied(lambda: host.get("/another/mesh"))


def test_an_administrator_writes_admission_mesh_and_every_namespace(mesh: Mesh) -> None:
    admin = mesh.client("admin")
    for key in ("admission/vm-1", "hosts/vm-9"):
        admin.put(f"{PREFIX}/{key}", b"{}")
    config: dict[str, object] = {
        "apiVersion": "meshd.io/v1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
    }
    put(admin, config, rule("default"), rule("any-other"))
    assert {record.namespace for record in list_history(admin).records} >= {"", "any-other"}
    assert denied(lambda: admin.put("/another/mesh", b"{}"))


def test_a_stranger_with_a_good_certificate_and_no_user_gets_nothing(mesh: Mesh) -> None:
    with EtcdClient(mesh.settings("stranger")) as stranger, pytest.raises(StoreDenied):
        stranger.get(f"{PREFIX}/mesh")


def test_what_is_nested_is_checked_too_or_the_version_is_warned_of(mesh: Mesh) -> None:
    """Older etcds do not check nested operations (measured on 3.5.1); the client says that they are too old."""
    nested = Transaction((), tuple(Put(f"{PREFIX}/ns/theirs/{n}", b"{}") for n in range(150)))
    team = mesh.client("shop-team")
    warnings = team.version_warnings()
    try:
        team.commit(nested)
    except StoreDenied:
        assert not warnings
    else:
        assert "roles can be evaded" in warnings[0]


def test_every_step_may_be_repeated_and_a_removed_user_is_gone(mesh: Mesh, tmp_path: Path) -> None:
    mesh.client("admin").put(f"{PREFIX}/format", b'{"format":2,"oldestReader":1}')
    done(mesh.roles("init"))
    entry = mesh.client("admin").get(f"{PREFIX}/format")
    assert entry is not None
    assert b'"format":2' in entry.value
    done(mesh.roles("publisher", "shop-team", "shop"))
    secret = tmp_path / "secret"
    for password in ("forgotten", "open-sesame"):
        secret.write_text(f"{password}\n")
        done(mesh.roles("host", "vm-3", "--user", "third", "--password-file", str(secret)))
    listed = done(mesh.roles("list"))
    assert "User: third" in listed
    assert f"{PREFIX}/hosts/vm-3" in listed
    by_password = mesh.settings("unknown").model_copy(
        update={"user": "third", "password_file": str(secret)}
    )
    with EtcdClient(by_password) as third:
        third.put(f"{PREFIX}/hosts/vm-3", b"{}")
    done(mesh.roles("remove", "third"))
    assert "vm-3" not in done(mesh.roles("list"))
    with (
        EtcdClient(by_password) as third,
        pytest.raises(StoreDenied, match="authentication failed"),
    ):
        third.put(f"{PREFIX}/hosts/vm-3", b"{}")


def test_a_password_that_etcdctl_would_cut_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame")
    result = mesh.roles("administrator", "ali", "--password-file", str(tmp_path / "secret"))
    assert result.returncode == 2
    assert "white space" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "roles.sh init"),
        (("publisher",), "roles.sh init"),
        (("publisher", "ann"), "at least one namespace"),
        (("publisher", "ann", "Shop"), '"Shop" is not a namespace'),
        (("host", "vm/1"), "is not a host's name"),
        (("host", "vm-1", "--password-file"), "needs a value"),
        (("host", "vm-1", "--password-file", "/absent"), "cannot be read"),
        (("host", "vm-1", "--sudo"), "no option --sudo"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(mesh: Mesh, words: tuple[str, ...], message: str) -> None:
    result = mesh.roles(*words)
    assert result.returncode == 2
    assert message in result.stderr
