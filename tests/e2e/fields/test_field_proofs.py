"""Every field in force, through a real Envoy: requests and what they get, or the configuration that Envoy accepted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

import pytest
import trio

from tests.e2e.fields.table import GROUPS
from tests.harness.envoys import open_lab
from tests.harness.field_building import resources
from tests.harness.field_cases import Ask, Case
from tests.harness.field_envoy import Seeing, Served, contains
from tests.harness.field_tls import TlsSeeing, client_context, pins, write_certificates
from tests.harness.processes import free_ports
from tests.harness.upstreams import serving

pytestmark = [pytest.mark.real, pytest.mark.slow]

FREE = ("outbound", "inbound", "port", "port2", "port3")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, since sockets lie in it."""
    directory = Path(tempfile.mkdtemp(prefix="fields-"))
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("group", GROUPS)
async def test_fields_do_what_they_say(group: str, folder: Path) -> None:
    wrong: list[str] = []
    made = (
        *map(Seeing, ("one", "two", "three")),
        Seeing("sick", status=503),
        Seeing("slow", delay_s=1.0),
        TlsSeeing("tls", context=write_certificates(folder)),
    )
    async with open_lab() as lab, serving(*made) as servers:
        by_name = {server.name: server for server in servers}
        ports = {name: server.port for name, server in by_name.items()}
        ports |= dict(zip(FREE, free_ports(len(FREE)), strict=True))
        served = Served(lab, by_name, ports)
        for case in GROUPS[group]:
            try:
                await prove(case, served, folder)
            except AssertionError as problem:
                wrong.append(f"{case.name}: {problem}")
    assert not wrong, "\n\n".join(wrong)


async def prove(case: Case, served: Served, folder: Path) -> None:
    places: dict[str, object] = {**served.ports, "folder": str(folder), **pins(folder)}
    await served.load(resources(case, places))
    assert case.asks or case.accepted or case.check, "proves nothing"
    for wanted in case.asks:
        for _ in range(wanted.times):
            await answer(wanted, served, folder, places)
    for part in case.accepted:
        name = Template(part.name).substitute(places)
        found = await served.accepted(part.kind, name)
        assert any(contains(one, part.part) for one in found), (
            f"Envoy's {part.kind} {name} has no {part.part}: {found}"
        )
    if case.check is not None:
        await case.check(served)


async def answer(wanted: Ask, served: Served, folder: Path, places: Mapping[str, object]) -> None:
    before = {name: server.hits for name, server in served.servers.items()}
    with trio.fail_after(20):
        got = await served.get(
            wanted.at,
            Template(wanted.url).substitute(places),
            method=wanted.method,
            headers=dict(wanted.headers),
            tls=client_context(folder, wanted) if wanted.sni else None,
            server_name=wanted.sni,
        )
    said = f"{wanted.method} {wanted.url} {dict(wanted.headers)}: {got}"
    assert got.status == wanted.status, f"not {wanted.status}: {said}"
    if wanted.by:
        assert got.headers.get("x-upstream") == wanted.by, f"not from {wanted.by}: {said}"
    if wanted.saw:
        asked = served.servers[got.headers["x-upstream"]].saw()
        for name, value in wanted.saw.items():
            assert asked.get(name) == value, f"the server saw {name} {asked.get(name)!r}: {said}"
    for name, value in wanted.gives.items():
        assert got.headers.get(name) == value, f"{name} is not {value}: {said}"
    if wanted.body is not None:
        assert got.text == wanted.body, said
    assert got.took_s >= wanted.least_s, said
    if wanted.copies:
        await served.copied_to(wanted.copies, before[wanted.copies])
    if wanted.hits:
        hits = served.servers[wanted.by].hits - before[wanted.by]
        assert hits == wanted.hits, f"{hits} tries: {said}"
