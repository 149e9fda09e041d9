from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from prometheus_client import CollectorRegistry, Counter

from sidecar.agent.secret_files import FILE_BYTES_MAX, SecretFiles
from sidecar.certificates.model import Material, SecretSource, authority_files, certificate_files
from tests.harness.identities import MeshAuthority

AUTHORITY = MeshAuthority()


class Files:
    """A pair of files in a folder, and what was given of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = certificate_files(str(folder / "cert"), str(folder / "key"))
        self.given: list[Mapping[SecretSource, Material]] = []
        self.broken: frozenset[SecretSource] = frozenset()
        self.readings = Counter("readings", "-", ["outcome"], registry=CollectorRegistry())
        self.files = SecretFiles(self._take, self.readings)

    def _take(
        self, materials: Mapping[SecretSource, Material], broken: frozenset[SecretSource]
    ) -> None:
        self.given.append(materials)
        self.broken = broken

    def write(self, pair: tuple[bytes, bytes]) -> None:
        for name, content in zip(("cert", "key"), pair, strict=True):
            (self.folder / name).write_bytes(content)

    @property
    def serving(self) -> bytes:
        return self.given[-1][self.source].certificate


@pytest.fixture
def host(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_what_is_wanted_is_read_before_anything_else_happens(host: Files) -> None:
    pair = AUTHORITY.pair("one")
    host.write(pair)
    host.files.want({host.source})
    assert host.serving == pair[0]
    host.files.look()
    assert len(host.given) == 1


async def test_changed_files_are_noticed_while_it_runs(
    host: Files, autojump_clock: trio.abc.Clock
) -> None:
    host.write(AUTHORITY.pair("one"))
    host.files.want({host.source})
    renewed = AUTHORITY.pair("two")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.files.run)
        await trio.sleep(2)
        host.write(renewed)
        await trio.sleep(0.6)
        assert host.serving == renewed[0]
        (host.folder / "key").write_bytes(b"")
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert host.serving == renewed[0]
    samples = [sample for metric in host.readings.collect() for sample in metric.samples]
    outcomes = {s.labels["outcome"]: s.value for s in samples if s.name == "readings_total"}
    assert outcomes == {"taken": 2.0, "broken": 1.0}


@pytest.mark.parametrize("path", ["/\0", "x" * 5000, "relative/\udcff", "/proc/self/mem"])
async def test_any_path_is_a_reason_and_no_end_of_the_sidecar(host: Files, path: str) -> None:
    source = authority_files(path)
    host.files.want({source})
    assert host.broken == {source}
    host.files.look()


@pytest.mark.parametrize("kind", ["folder", "pipe", "large"])
async def test_what_is_no_file_of_a_certificate_is_told_and_never_waited_for(
    host: Files, kind: str
) -> None:
    path = host.folder / "ca"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            with path.open("wb") as file:
                file.truncate(FILE_BYTES_MAX + 1)
    source = authority_files(str(path))
    host.files.want({source})
    assert source in host.files.keeper.troubles
    assert host.given == [{}], "whoever wants something hears what became of it"
    assert host.broken == {source}
    host.files.want({source})
    assert len(host.given) == 1
