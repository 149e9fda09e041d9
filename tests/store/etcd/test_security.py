"""TLS, client certificates, users and tokens, and a store whose space is used up, against real etcds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import InputError, StoreUnavailable
from store.etcd.client import EtcdClient, MemberStatus
from store.etcd.failures import StoreDenied, StoreReadOnly
from store.etcd.settings import EtcdSettings
from tests.harness.certificates import Authority
from tests.harness.etcdctl import etcdctl
from tests.harness.processes import EtcdProcess, wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls_etcd(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdProcess]:
    with EtcdProcess(tmp_path_factory.mktemp("tls-etcd"), tls=authority.server()) as process:
        yield process


@pytest.fixture(scope="module")
def auth_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    flags = (
        "--auth-token",
        "simple",
        "--auth-token-ttl",
        "1",
        "--bcrypt-cost",
        "4",
        "--log-level",
        "info",
    )
    with EtcdProcess(tmp_path_factory.mktemp("auth-etcd"), flags) as process:
        etcdctl(process, "user", "add", "root:secret")
        etcdctl(process, "user", "grant-role", "root", "root")
        etcdctl(process, "user", "add", "ann:pass")
        etcdctl(process, "role", "add", "reader")
        etcdctl(process, "role", "grant-permission", "reader", "readwrite", "/mine/", "/mine0")
        etcdctl(process, "user", "grant-role", "ann", "reader")
        etcdctl(process, "auth", "enable")
        yield process


def with_certificate(etcd: EtcdProcess, authority: Authority, user: str = "ann") -> EtcdSettings:
    cert, key = authority.client(user)
    return EtcdSettings(
        endpoints=(etcd.url,),
        ca=str(authority.ca),
        cert=str(cert),
        key=str(key),
        request_timeout_s=3.0,
    )


def with_password(etcd: EtcdProcess, folder: Path, user: str, password: str) -> EtcdSettings:
    file = folder / "password"
    file.write_text(f"{password}\n")
    return EtcdSettings(endpoints=(etcd.url,), user=user, password_file=str(file))


def test_a_client_certificate_opens_a_tls_etcd(tls_etcd: EtcdProcess, authority: Authority) -> None:
    with EtcdClient(with_certificate(tls_etcd, authority)) as client:
        client.put("/k", b"v")
        assert client.get("/k") is not None
        (status,) = client.status()
        assert isinstance(status, MemberStatus)


def test_a_certificate_of_another_authority_is_named_as_the_cause(
    tls_etcd: EtcdProcess, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    settings = with_certificate(tls_etcd, authority).model_copy(update={"ca": str(stranger.ca)})
    with (
        EtcdClient(settings) as client,
        pytest.raises(StoreUnavailable, match=r"certificate is not trusted.*CA file"),
    ):
        client.get("/k")


def test_without_the_client_certificate_that_etcd_asks_for_nothing_is_reached(
    tls_etcd: EtcdProcess, authority: Authority
) -> None:
    settings = EtcdSettings(endpoints=(tls_etcd.url,), ca=str(authority.ca), request_timeout_s=2.0)
    with EtcdClient(settings) as client, pytest.raises(StoreUnavailable, match=tls_etcd.url):
        client.get("/k")


def test_plain_text_to_a_tls_etcd_fails_with_words(tls_etcd: EtcdProcess) -> None:
    plain = tls_etcd.url.replace("https", "http")
    settings = EtcdSettings(endpoints=(plain,), request_timeout_s=2.0)
    with EtcdClient(settings) as client, pytest.raises(StoreUnavailable, match=plain):
        client.put("/k", b"v")


def test_tls_to_a_plain_etcd_names_the_handshake(auth_etcd: EtcdProcess) -> None:
    tls = auth_etcd.url.replace("http", "https")
    settings = EtcdSettings(endpoints=(tls,), request_timeout_s=2.0)
    with (
        EtcdClient(settings) as client,
        pytest.raises(StoreUnavailable, match=r"TLS handshake failed.*http:// against https://"),
    ):
        client.get("/k")


def test_a_certificate_file_that_went_away_is_named(
    tls_etcd: EtcdProcess, authority: Authority
) -> None:
    settings = with_certificate(tls_etcd, authority, "gone")
    Path(settings.key).unlink()
    with EtcdClient(settings) as client, pytest.raises(InputError, match=r"gone\.key"):
        client.get("/k")


def test_who_gives_no_name_is_told_to(auth_etcd: EtcdProcess) -> None:
    with (
        EtcdClient(EtcdSettings(endpoints=(auth_etcd.url,))) as client,
        pytest.raises(StoreDenied, match=r"wants to know who asks.*password file"),
    ):
        client.get("/mine/k")


def test_a_wrong_password_is_said_as_such(auth_etcd: EtcdProcess, tmp_path: Path) -> None:
    with EtcdClient(with_password(auth_etcd, tmp_path, "ann", "wrong")) as client:
        with pytest.raises(StoreDenied, match=r"authentication failed.*password file"):
            client.get("/mine/k")
        with pytest.raises(StoreDenied, match=r"authentication failed"):
            client.put("/mine/k", b"v")


def test_a_key_outside_of_the_role_is_denied_and_says_so(
    auth_etcd: EtcdProcess, tmp_path: Path
) -> None:
    with EtcdClient(with_password(auth_etcd, tmp_path, "ann", "pass")) as client:
        client.put("/mine/k", b"v")
        with pytest.raises(StoreDenied, match=r'write /theirs/k: .*denied by etcd to user "ann"'):
            client.put("/theirs/k", b"v")
        with pytest.raises(StoreDenied, match=r"get /theirs/k: permission denied"):
            client.get("/theirs/k")
        with pytest.raises(StoreDenied, match=r"get /theirs/a, /theirs/b and 1 more: permission"):
            client.get_many(["/theirs/a", "/theirs/b", "/mine/k"])


def test_an_expired_token_is_renewed_once_and_unseen(
    auth_etcd: EtcdProcess, tmp_path: Path
) -> None:
    """Failure 14: the server forgets tokens after their life (here a second), and at its restart."""
    with EtcdClient(with_password(auth_etcd, tmp_path, "ann", "pass")) as client:
        client.put("/mine/k", b"v")
        (token,) = client.metadata()
        logged = len(auth_etcd.log.read_text())

        def is_forgotten() -> bool:
            return "deleted a simple token" in auth_etcd.log.read_text()[logged:]

        wait_until(is_forgotten, 10.0, "the token to expire")
        client.put("/mine/k", b"w")
        assert client.metadata() != (token,)
        auth_etcd.restart()
        client.put("/mine/k", b"x")
        entry = client.get("/mine/k")
        assert entry is not None
        assert entry.value == b"x"


def test_a_changed_password_is_read_from_its_file_anew(
    auth_etcd: EtcdProcess, tmp_path: Path
) -> None:
    with EtcdClient(with_password(auth_etcd, tmp_path, "ann", "pass")) as client:
        client.put("/mine/k", b"v")
        etcdctl(
            auth_etcd,
            "--user",
            "root:secret",
            "user",
            "passwd",
            "ann",
            "--interactive=false",
            stdin="new",
        )
        (tmp_path / "password").write_text("new")
        auth_etcd.restart()
        client.put("/mine/k", b"w")
        etcdctl(
            auth_etcd,
            "--user",
            "root:secret",
            "user",
            "passwd",
            "ann",
            "--interactive=false",
            stdin="pass",
        )
    (tmp_path / "password").unlink()


def test_a_missing_password_file_is_named(auth_etcd: EtcdProcess, tmp_path: Path) -> None:
    settings = with_password(auth_etcd, tmp_path, "ann", "pass")
    (tmp_path / "password").unlink()
    with (
        EtcdClient(settings) as client,
        pytest.raises(InputError, match=r'password file .* user "ann"'),
    ):
        client.get("/mine/k")


def test_a_user_is_no_harm_where_authentication_is_off(
    own_etcd: EtcdProcess, tmp_path: Path
) -> None:
    with EtcdClient(with_password(own_etcd, tmp_path, "ann", "pass")) as client:
        client.put("/k", b"v")
        assert client.metadata() == ()


@pytest.mark.slow
def test_a_full_store_is_called_read_only_and_still_reads(tmp_path: Path) -> None:
    """Failure 19."""
    with (
        EtcdProcess(tmp_path, ("--quota-backend-bytes", "2000000")) as etcd,
        EtcdClient(EtcdSettings(endpoints=(etcd.url,))) as client,
    ):
        client.put("/first", b"v")
        with pytest.raises(StoreReadOnly, match=r"NOSPACE.*alarm disarm"):
            # etcd looks at its size only now and then, so writes go on until it has noticed.
            wait_until(lambda: client.put("/k", bytes(100_000)) < 0, 30.0, "etcd to be full")
        assert client.get("/first") is not None
        (status,) = client.status()
        assert isinstance(status, MemberStatus)
        assert "NOSPACE" in status.errors[0]
