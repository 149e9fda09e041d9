"""The command line against a real etcd: transcripts of what people type and what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshd.cli import exits
from meshd.cli.completing import complete_names
from meshd.cli.main import program
from tests.harness.command_line import CommandLine
from tests.harness.processes import EtcdProcess
from tests.harness.transcripts import check_transcript

pytestmark = pytest.mark.real

TRANSCRIPTS = sorted((Path(__file__).parent / "cli").glob("*.txt"))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(transcript: Path, own_etcd: EtcdProcess, tmp_path: Path, rewrite: bool) -> None:
    environment = {
        "MESHD_ETCD": own_etcd.url,
        "MESHD_RUN_DIR": str(tmp_path / "run"),
        "MESHD_AUTHOR": "ann@desk",
    }
    meshd = CommandLine(tmp_path, environment)
    check_transcript(transcript, meshd.block, rewrite=rewrite)


def test_check_finds_what_the_store_holds_wrong(own_etcd: EtcdProcess, tmp_path: Path) -> None:
    environment = {"MESHD_ETCD": own_etcd.url, "MESHD_RUN_DIR": str(tmp_path / "run")}
    meshd = CommandLine(tmp_path, environment)
    assert meshd("check").status == exits.OK
    assert "the store holds nothing" in meshd("check").out
    meshd("put", "-q", "-f", "-", stdin=ROUTE)
    ran = meshd("check", "-o", "json")
    assert ran.status == exits.NO
    failed = [row["text"] for row in json.loads(ran.out)["checks"] if row["outcome"] == "failed"]
    assert len(failed) == 1
    assert "MESH0201" in failed[0]
    assert "1 of 5 checks failed" in meshd("check").out


def test_an_etcd_that_is_killed_is_6_and_comes_back(own_etcd: EtcdProcess, tmp_path: Path) -> None:
    meshd = CommandLine(tmp_path, {"MESHD_ETCD": own_etcd.url})
    meshd("put", "-q", "-f", "-", stdin=ROUTE)
    own_etcd.kill()
    for words in (["get", "vs"], ["put", "-f", "-"], ["delete", "vs", "reviews"], ["history"]):
        ran = meshd(*words, "--request-timeout", "1", stdin=ROUTE)
        assert ran.status == exits.UNREACHABLE, words
        assert own_etcd.url in ran.err
        assert "Traceback" not in ran.err
    assert meshd("check", "--request-timeout", "1").status == exits.NO
    own_etcd.start()
    assert meshd("get", "vs", "-o", "name").out == "VirtualService/default/reviews\n"


ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews}
"""


def test_names_are_completed_from_the_store_and_remembered_while_it_is_away(
    own_etcd: EtcdProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MESHD_ETCD", own_etcd.url)
    CommandLine(tmp_path, {"MESHD_ETCD": own_etcd.url})("put", "-q", "-f", "-", stdin=ROUTE)
    context = program.make_context("meshd", ["get"], obj={})
    for _ in ("asked", "remembered"):
        assert complete_names(context, program.params[0], "vs/r") == ["vs/reviews"]
        own_etcd.kill()
    (tmp_path / "meshd" / "completion.json").write_text("torn{")
    assert complete_names(context, program.params[0], "vs/r") == []
