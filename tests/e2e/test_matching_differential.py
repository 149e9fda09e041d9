"""The table that explains against the Envoy that serves: same virtual hosts, same requests, same answers.

Virtual hosts with random domains and conditions are compiled and given to a real Envoy; every route answers with
its own name. What `choose_virtual_host` and `match` say must be what Envoy answered.
"""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.agent.envoy_program import find_envoy
from sidecar.mesh.model import Provenance
from sidecar.routing.match import Request, choose_virtual_host, match
from sidecar.routing.table import (
    DirectResponse,
    MatcherKind,
    Route,
    RouteMatch,
    ValueMatch,
    VirtualHost,
)
from sidecar.xds.compile import (
    Bind,
    compile_outbound_listener,
    compile_passthrough,
    compile_route_configuration,
)
from store.objects.mesh_config import MeshConfigSpec
from tests.harness.compiled import static_config
from tests.harness.processes import free_port, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

HERE = Provenance(None)
READY_S = 10.0
ANSWERED = 418
"""Status of every route: none that Envoy or a client gives a meaning to."""
REQUESTS = 2000
EXACT, PREFIX, REGEX, PRESENT = MatcherKind

DOMAINS = (
    "a.test", "b.a.test", "a.test:8080", "*.a.test", "*.test", "*.test:8080", "*-x.a.test",
    "a.*", "b.a.*", "10.0.0.1", "[::1]:80", "*",
)  # fmt: skip
AUTHORITIES = (
    "a.test", "A.Test", "b.a.test", "c.a.test", "c.a.test:8080", "a.test:8080", "a.test:80",
    "w-x.a.test", "-x.a.test", ".a.test", "z.test", "a.org", "b.a.org", "a.", "10.0.0.1",
    "[::1]:80", "[::1]", "nobody", "test",
)  # fmt: skip
VALUES = ("/", "/a", "/A", "/ab", "/a/b", "a", "ab", "A", "a,b", "GET", "é", "a b")
PATTERNS = (".*", "/a.*", "a|ab", "[ab,]+", "/a/?b?", "(?i)/A", "G.T", ".+", r"\w*")
HEADER_NAMES = ("x", "y", ":method", ":authority", ":path", ":scheme")
PATHS = ("/", "/a", "/A", "/ab", "/a/b", "/a%62", "/b", "//a")
QUERIES = ("", "?", "?q", "?q=", "?q=a", "?q=ab&q=a", "?p=%61&q", "?&=&q=A", "?q=a=b", "?Q=a")
METHODS = ("GET", "POST", "PUT", "CONNECT")


def value(dice: random.Random, *, path: bool = False) -> ValueMatch:
    kind = dice.choice((EXACT, PREFIX, REGEX) if path else tuple(MatcherKind))
    invert = not path and dice.random() < 0.3
    if kind is REGEX:
        return ValueMatch(kind, dice.choice(PATTERNS), invert=invert)
    if kind is PRESENT:
        return ValueMatch(kind, invert=invert)
    texts = [text for text in VALUES if text.startswith("/") or not path]
    return ValueMatch(
        kind, dice.choice(texts), invert=invert, ignore_case=path and dice.random() < 0.3
    )


def condition(dice: random.Random) -> RouteMatch:
    if dice.random() < 0.1:
        return RouteMatch(connect=True)
    names = dice.sample(HEADER_NAMES, dice.choice((0, 0, 1, 1, 2)))
    wanted = dice.sample(("q", "p", "Q"), dice.choice((0, 0, 0, 1, 2)))
    query = [(name, value(dice)) for name in wanted]
    return RouteMatch(
        value(dice, path=True),
        tuple((name, value(dice)) for name in names),
        tuple((name, one) for name, one in query if not one.invert),
    )


def virtual_hosts(dice: random.Random) -> list[VirtualHost]:
    hosts = []
    for number, domain in enumerate(DOMAINS):
        routes = tuple(
            Route(name, condition(dice), DirectResponse(ANSWERED, name.encode()), HERE)
            for name in (f"{number}.{index}" for index in range(12))
        )
        hosts.append(VirtualHost(f"host-{number}", (domain,), routes))
    return hosts


def requests(dice: random.Random) -> Iterator[Request]:
    for _ in range(REQUESTS):
        method = dice.choice(METHODS)
        authority = dice.choice(AUTHORITIES)
        if method == "CONNECT" and not authority.endswith("80"):
            authority += ":80"  # Envoy answers 400 to CONNECT without a port, before any routing
        path = "" if method == "CONNECT" else dice.choice(PATHS) + dice.choice(QUERIES)
        count = dice.choice((0, 0, 1, 1, 2, 3))
        headers = [(dice.choice(("x", "X", "y")), dice.choice(VALUES)) for _ in range(count)]
        yield Request(method, "http", authority, path, tuple(headers))


@dataclass(frozen=True)
class Served:
    """A running Envoy and what it was given."""

    port: int
    hosts: list[VirtualHost]


def is_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, f"Envoy ended with status {process.returncode}"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=range(3))
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    hosts = virtual_hosts(random.Random(request.param))
    port = free_port()
    config = tmp_path / "envoy.json"
    config.write_text(
        static_config(
            [
                compile_passthrough(MeshConfigSpec()),
                compile_outbound_listener("outbound", Bind("127.0.0.1", port), "outbound"),
                compile_route_configuration("outbound", hosts, vhds=False),
            ]
        )
    )
    command = [str(find_envoy()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"]
    with (tmp_path / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: is_listening(process, port), READY_S, "Envoy's listener")
            yield Served(port, hosts)
        finally:
            process.kill()
            process.wait()


def asked_of_envoy(connection: http.client.HTTPConnection, request: Request) -> str:
    """The route that Envoy says took a request: its name, or the status of Envoy's own answer."""
    target = request.authority if request.method == "CONNECT" else request.path
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", request.authority)
    for name, text in request.headers:
        connection.putheader(name, text.encode())
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode()
    if response.will_close or request.method == "CONNECT":
        connection.close()
    return body if response.status == ANSWERED else str(response.status)


def asked_of_the_table(hosts: list[VirtualHost], request: Request) -> str:
    """The same answer as the table gives it."""
    host = choose_virtual_host(hosts, request.authority)
    route = match(host, request).route if host else None
    return route.name if route else "404"


def test_envoy_and_the_table_agree_on_every_request(served: Served, tmp_path: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    differences = []
    answers = set()
    for request in requests(random.Random(7)):
        envoy, table = (
            asked_of_envoy(connection, request),
            asked_of_the_table(served.hosts, request),
        )
        answers.add(envoy)
        if envoy != table:
            differences.append(f"{request}: Envoy {envoy}, table {table}")
    connection.close()
    assert not differences, "\n".join(differences[:20])
    assert len(answers) > 30, f"too few routes were reached to prove anything: {sorted(answers)}"
