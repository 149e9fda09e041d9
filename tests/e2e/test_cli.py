"""The command line against a real etcd: transcripts of what people type and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

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
