"""The routing table's transcripts: objects and requests in, decisions out, one file for each subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.routing import RoutingDriver
from tests.harness.transcripts import check_transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, rewrite: bool) -> None:
    check_transcript(path, RoutingDriver().run, rewrite=rewrite)


def test_every_subject_has_a_transcript() -> None:
    assert len(TRANSCRIPTS) >= 10
