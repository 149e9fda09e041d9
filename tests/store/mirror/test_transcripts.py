"""The Mirror's transcripts: one for each way in which a watch on etcd is known to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.mirror_driver import MirrorDriver
from tests.harness.transcripts import check_transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, rewrite: bool) -> None:
    check_transcript(path, MirrorDriver().run, rewrite=rewrite)


def test_there_is_a_transcript_for_every_failure_of_a_watch() -> None:
    numbers = {path.name[:2] for path in TRANSCRIPTS}
    wanted = {f"{n:02}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 25)}
    assert wanted <= numbers
