from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.command_line import CommandLine
from tests.harness.transcripts import check_transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(transcript: Path, tmp_path: Path, rewrite: bool) -> None:
    check_transcript(transcript, CommandLine(tmp_path).block, rewrite=rewrite)
