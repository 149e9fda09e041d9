"""What Envoy wrote before it ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sidecar.agent.envoy_last_words import LOOKED_THROUGH_BYTES, TAIL_BYTES, LastWords, fault_in

STAMP = "[2026-01-02 03:04:05.678][18652][critical][backtrace] [./source/server/backtrace.h:173] "
CAUGHT = STAMP + "Caught {}, suspect faulting address 0x489d\n"
FRAMES = (STAMP + "#0: [0x7f0123456789]\n") * 60


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Segmentation fault", signal.SIGSEGV),
        ("Aborted", signal.SIGABRT),
        ("Bus error", signal.SIGBUS),
        ("Illegal instruction", signal.SIGILL),
        ("Floating point exception", signal.SIGFPE),
        ("Killed", None),
    ],
)
def test_the_fault_is_the_one_that_it_names(name: str, number: signal.Signals | None) -> None:
    assert fault_in("[warning] something\n" + CAUGHT.format(name) + FRAMES) == number


def test_what_others_had_written_into_the_log_is_no_fault() -> None:
    request = f'GET /{CAUGHT.format("Aborted").strip()} 200 "-"\n'
    assert fault_in(request) is None
    assert fault_in("") is None


def test_only_what_was_written_since_it_began_counts(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    words = LastWords(log)
    words.begin()
    assert (words.tail(), words.fault()) == ("", None)
    log.write_text(CAUGHT.format("Aborted") + FRAMES)
    assert words.fault() == signal.SIGABRT
    words.begin()
    assert words.fault() is None
    assert len(words.tail()) == TAIL_BYTES
    log.write_text(CAUGHT.format("Bus error"))  # somebody cut it meanwhile
    assert words.fault() == signal.SIGBUS


def test_a_huge_log_is_looked_through_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    words = LastWords(log)
    words.begin()
    log.write_text(CAUGHT.format("Aborted") + "x" * LOOKED_THROUGH_BYTES)
    assert words.fault() is None
