"""Certificates of objects through a real Envoy: two kinds on one server, files that come late, files that change."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.harness.field_tls import TlsSeeing
from tests.harness.followed import Followed, follow
from tests.harness.processes import free_port
from tests.harness.service_entries import service
from tests.harness.tls_ends import Authority, https
from tests.harness.upstreams import serving, upstream
from tests.harness.worlds import GATEWAY

pytestmark = pytest.mark.real

ONE, OTHER = "one.example.com", "other.example.com"


def gateway(port: int, *servers: tuple[str, str]) -> str:
    """HTTPS servers of one port, each (host, TLS settings inline), all leading to `a`."""
    listed = "".join(
        f"""
  - port: {{number: {port}, name: https-{number}, protocol: HTTPS}}
    bind: 127.0.0.1
    hosts: [{host}]
    tls: {{{tls}}}"""
        for number, (host, tls) in enumerate(servers)
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: default}}
spec:
  selector: {{istio: ingress}}
  servers:{listed}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [gw]
  http: [{{route: [{{destination: {{host: a}}}}]}}]
"""


def files(folder: Path, name: str) -> str:
    return f"mode: SIMPLE, serverCertificate: {folder}/{name}.pem, privateKey: {folder}/{name}.key"


async def certificate(port: int, host: str, *, ciphers: str = "") -> x509.Certificate:
    """What a server shows to a client that takes only these ciphers of TLS 1.2."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    async with trio.SSLStream(plain, context, server_hostname=host) as stream:
        await stream.do_handshake()
        return x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds."""
    with trio.fail_after(20):
        while True:
            if await holds():
                return
            await trio.sleep(0.01)


async def listeners(host: Followed) -> float:
    """How often Envoy has taken a listener."""
    stats = host.lab.stat
    return await stats("listener_manager.listener_modified") + await stats(
        "listener_manager.listener_added"
    )


@pytest.mark.parametrize("by", ["files", "credentials"])
async def test_a_server_shows_the_certificate_that_the_client_can_read(
    tmp_path: Path, by: str
) -> None:
    authority = Authority(tmp_path)
    port = free_port()
    for kind in ("RSA", "ECDSA"):
        authority.issue_as(kind, ONE, tmp_path / kind)
    pairs = ", ".join(
        f"{{serverCertificate: {tmp_path}/{kind}/tls.crt, privateKey: {tmp_path}/{kind}/tls.key}}"
        for kind in ("RSA", "ECDSA")
    )
    named = f"tlsCertificates: [{pairs}]" if by == "files" else "credentialNames: [RSA, ECDSA]"
    async with (
        upstream("a") as (a,),
        follow(
            service("a", (a.port, "v1")),
            gateway(port, (ONE, f"mode: SIMPLE, {named}")),
            context=GATEWAY,
            outbound=False,
            credentials=str(tmp_path),
        ),
    ):
        read_rsa = await certificate(port, ONE, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
        read_ecdsa = await certificate(port, ONE, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert isinstance(read_rsa.public_key(), rsa.RSAPublicKey)
    assert not isinstance(read_ecdsa.public_key(), rsa.RSAPublicKey)


async def test_a_server_whose_files_are_missing_takes_down_no_other_and_serves_when_they_come(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    authority.issue(ONE)
    port, trusted = free_port(), authority.client()
    async with (
        upstream("a") as (a,),
        follow(
            service("a", (a.port, "v1")),
            gateway(port, (ONE, files(tmp_path, ONE)), (OTHER, files(tmp_path, OTHER))),
            context=GATEWAY,
            outbound=False,
        ) as host,
    ):
        assert await https(port, ONE, trusted) == (200, "a")
        assert await https(port, OTHER, trusted) == (0, "")
        (trouble,) = host.files.keeper.troubles.values()
        assert f"{tmp_path}/{OTHER}.pem cannot be read: No such file" in trouble.reason
        before = await listeners(host)
        authority.issue(OTHER)
        host.files.look()

        async def serves() -> bool:
            return await https(port, OTHER, trusted) == (200, "a")

        await until(serves)
        assert await listeners(host) == before


async def test_a_connection_that_is_open_outlives_the_renewal_of_its_certificate(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    authority.issue(ONE)
    port, trusted = free_port(), authority.client()
    async with (
        upstream("a") as (a,),
        follow(
            service("a", (a.port, "v1")),
            gateway(port, (ONE, files(tmp_path, ONE))),
            context=GATEWAY,
            outbound=False,
        ) as host,
    ):
        old = await certificate(port, ONE)
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(plain, trusted, server_hostname=ONE) as stream:
            request = f"GET / HTTP/1.1\r\nhost: {ONE}\r\n\r\n".encode()
            for path in (tmp_path / f"{ONE}.pem", tmp_path / f"{ONE}.key"):
                path.unlink()
            authority.issue(ONE)
            await stream.send_all(request)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200")
            host.files.look()

            async def is_renewed() -> bool:
                return (await certificate(port, ONE)).serial_number != old.serial_number

            await until(is_renewed)
            await stream.send_all(request)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200")


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec: {host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: CA}}}
"""


async def test_a_destination_whose_files_are_missing_gets_nothing_until_they_come(
    tmp_path: Path,
) -> None:
    authority, late = Authority(tmp_path), tmp_path / "late.pem"
    async with serving(TlsSeeing("secret", context=authority.server("api.example.com"))) as (api,):
        objects = ENTRY.replace("PORT", str(api.port)).replace("CA", str(late))
        async with follow(objects) as host:
            assert (await host.get("api.example.com")).status == 503
            updated = await host.lab.stat("cluster_manager.cluster_updated")
            late.write_bytes(authority.path("ca.pem").read_bytes())
            host.files.look()

            async def serves() -> bool:
                return (await host.get("api.example.com")).status == 200

            await until(serves)
            assert await host.lab.stat("cluster_manager.cluster_updated") == updated


RULE = ENTRY.partition("---")[2]


async def test_a_rule_that_names_missing_files_leaves_what_works_until_they_come(
    tmp_path: Path,
) -> None:
    authority, late = Authority(tmp_path), tmp_path / "late.pem"
    good = str(authority.path("ca.pem"))
    async with (
        serving(TlsSeeing("secret", context=authority.server("api.example.com"))) as (api,),
        follow(ENTRY.replace("PORT", str(api.port)).replace("CA", good)) as host,
    ):
        assert (await host.get("api.example.com")).text == "secret"
        await host.put(RULE.replace("CA", str(late)))
        assert (await host.get("api.example.com")).text == "secret"
        (source,) = host.files.keeper.troubles
        assert str(late) in source.files
        assert any("DestinationRule" in str(one) for one in host.builder.naming(source))
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        late.write_bytes(Authority(stranger).path("ca.pem").read_bytes())
        host.files.look()

        async def is_in_force() -> bool:
            return (await host.get("api.example.com")).status == 503

        await until(is_in_force)


async def test_plain_text_does_not_go_on_where_a_rule_asks_for_tls(tmp_path: Path) -> None:
    entry = ENTRY.partition("---")[0]
    async with (
        upstream("plain") as (plain,),
        follow(entry.replace("PORT", str(plain.port))) as host,
    ):
        assert (await host.get("api.example.com")).text == "plain"
        await host.put(RULE.replace("CA", str(tmp_path / "missing.pem")))
        assert (await host.get("api.example.com")).status == 503
        assert plain.hits == 1
