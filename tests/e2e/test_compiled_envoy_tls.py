"""TLS through a real Envoy: begun for external services, ended at gateways, passed through by server name."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.harness.field_tls import TlsSeeing
from tests.harness.followed import follow
from tests.harness.processes import free_port, wait_until_async
from tests.harness.service_entries import service
from tests.harness.tls_ends import Authority, https
from tests.harness.upstreams import request, serving, upstream
from tests.harness.worlds import GATEWAY

pytestmark = pytest.mark.real


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


EXTERNAL = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.example.com]
  resolution: RESOLUTION
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: ADDRESS, ports: {http: PORT}}]
"""
ORIGINATE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: default}
spec: {host: api.example.com, trafficPolicy: {tls: {TLS}}}
"""


def originate(**settings: str) -> str:
    return ORIGINATE.replace(
        "TLS", ", ".join(f"{name}: {value}" for name, value in settings.items())
    )


@pytest.mark.parametrize(
    ("resolution", "address"),
    [("STATIC", "127.0.0.1"), ("DNS", "localhost"), ("DNS_ROUND_ROBIN", "localhost")],
)
async def test_tls_is_begun_for_a_plain_request_and_names_are_checked(
    authority: Authority, resolution: str, address: str
) -> None:
    ca = str(authority.path("ca.pem"))
    async with serving(TlsSeeing("secret", context=authority.server("api.example.com"))) as (api,):
        entry = EXTERNAL.replace("RESOLUTION", resolution).replace("ADDRESS", address)
        async with follow(
            entry.replace("PORT", str(api.port)), originate(mode="SIMPLE", caCertificates=ca)
        ) as host:
            assert (await host.get("api.example.com")).text == "secret"
            await host.put(
                originate(mode="SIMPLE", caCertificates=ca, subjectAltNames="[other.example.com]")
            )
            assert (await host.get("api.example.com")).status == 503
            await host.put(
                originate(mode="SIMPLE", caCertificates=ca, subjectAltNames="[api.example.com]")
            )
            assert (await host.get("api.example.com")).text == "secret"
            await host.put(originate(mode="SIMPLE"))
            assert (await host.get("api.example.com")).status == 503, (
                "the system does not know this authority"
            )
            await host.put(originate(mode="SIMPLE", insecureSkipVerify="true"))
            assert (await host.get("api.example.com")).text == "secret"


async def test_mutual_tls_shows_the_certificate_of_the_rule(authority: Authority) -> None:
    name = authority.issue("client.example.com")
    files = {
        "caCertificates": str(authority.path("ca.pem")),
        "clientCertificate": str(authority.path(f"{name}.pem")),
        "privateKey": str(authority.path(f"{name}.key")),
    }
    async with serving(
        TlsSeeing("secret", context=authority.server("api.example.com", mutual=True))
    ) as (api,):
        entry = EXTERNAL.replace("RESOLUTION", "STATIC").replace("ADDRESS", "127.0.0.1")
        async with follow(
            entry.replace("PORT", str(api.port)),
            originate(mode="SIMPLE", caCertificates=files["caCertificates"]),
        ) as host:
            assert (await host.get("api.example.com")).status == 503
            await host.put(originate(mode="MUTUAL", **files))
            assert (await host.get("api.example.com")).text == "secret"


SERVERS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: PLAIN, name: http, protocol: HTTP}
    bind: 127.0.0.1
    hosts: [one.example.com]
  - port: {number: PLAIN, name: http2, protocol: HTTP}
    bind: 127.0.0.1
    hosts: [two.example.com]
    tls: {httpsRedirect: true}
  - port: {number: SECURE, name: https-one, protocol: HTTPS}
    bind: 127.0.0.1
    hosts: [one.example.com]
    tls: {mode: SIMPLE, serverCertificate: FOLDER/one.example.com.pem, privateKey: FOLDER/one.example.com.key}
  - port: {number: SECURE, name: tls-three, protocol: TLS}
    bind: 127.0.0.1
    hosts: [three.example.com]
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: one, namespace: default}
spec:
  hosts: [one.example.com]
  gateways: [gw]
  http: [{route: [{destination: {host: a}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: three, namespace: default}
spec:
  hosts: [three.example.com]
  gateways: [gw]
  tls: [{match: [{sniHosts: [three.example.com]}], route: [{destination: {host: s}}]}]
"""


async def test_a_gateway_serves_its_hosts_plain_ended_and_passed_through(
    authority: Authority,
) -> None:
    authority.issue("one.example.com")
    plain, secure = free_port(), free_port()
    gateway = SERVERS.replace("PLAIN", str(plain)).replace("SECURE", str(secure))
    trusted = authority.client()
    async with (
        upstream("a", "b") as (a, b),
        serving(TlsSeeing("end", context=authority.server("three.example.com"))) as (end,),
        follow(
            service("a", (a.port, "v1")),
            service("b", (b.port, "v1")),
            service("s", (end.port, "v1"), protocol="TLS"),
            gateway.replace("FOLDER", str(authority.folder)),
            context=GATEWAY,
            outbound=False,
        ) as host,
    ):
        assert (await request(plain, f"one.example.com:{plain}")).text == "a"
        assert (await request(plain, "elsewhere.example.com")).status == 404
        moved = await request(plain, "two.example.com", "/x")
        assert (moved.status, moved.headers["location"]) == (301, "https://two.example.com/x")
        assert await https(secure, "one.example.com", trusted) == (200, "a")
        assert await https(secure, "three.example.com", trusted) == (200, "end")
        assert await https(secure, "nobody.example.com", trusted) == (0, "")
        modified = await host.lab.stat("listener_manager.listener_modified")
        (_, rules, _) = gateway.split("---")
        await host.put(rules.replace("host: a", "host: b"))
        assert (await request(plain, "one.example.com")).text == "b"
        assert await https(secure, "one.example.com", trusted) == (200, "b")
        assert await host.lab.stat("listener_manager.listener_modified") == modified == 0
        await host.delete("ns/default/gateways/gw")
        assert (await request(plain, "one.example.com")).status == 0


MOVING = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec: {servers: [{port: {number: PORT, name: http, protocol: HTTP}, bind: ADDRESS, hosts: ['*']}]}
"""


async def test_a_server_that_moves_to_another_address_of_its_port_serves_on_at_once() -> None:
    port = free_port()
    server = MOVING.replace("PORT", str(port))
    async with follow(
        server.replace("ADDRESS", "0.0.0.0"), context=GATEWAY, outbound=False
    ) as host:
        assert (await request(port, "one.example.com")).status == 404
        began = trio.current_time()
        await host.put(server.replace("ADDRESS", "127.0.0.1"))

        async def serves() -> bool:
            return (await request(port, "one.example.com")).status == 404

        await wait_until_async(serves, 20, "the server at its new address")
        assert trio.current_time() - began < 4.0, "5 s was the pause before a second try"
