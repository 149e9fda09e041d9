"""What Envoy wrote before it ended: the end of its log, and the fault that it died of.

Envoy catches the signals that a process brings upon itself and writes which one it was before it dies of it. That is
how it is known of an Envoy that is nobody's child (`sidecar.agent.envoy_program.spawn`), whose exit status init alone
learns. Source: Envoy, source/server/backtrace.h.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

__all__ = ["LastWords", "fault_in"]

TAIL_BYTES = 2_000
"""How much of the log's end is told."""
LOOKED_THROUGH_BYTES = 64_000
"""How much of it is looked through: a backtrace follows the name of the fault."""
_FAULTS = {
    signal.strsignal(number): number
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
}
_CAUGHT = re.compile(
    r"^\[[^\]]*\]\[\d+\]\[critical\]\[backtrace\] \[[^\]]*\] Caught (.+?), suspect faulting address",
    re.MULTILINE,
)


def fault_in(text: str) -> signal.Signals | None:
    """The signal that a part of Envoy's log says it died of; None where it says none."""
    caught = _CAUGHT.findall(text)
    return _FAULTS.get(caught[-1]) if caught else None


class LastWords:
    """The log of one Envoy after another. Never raises for a file that cannot be read: it says nothing then."""

    def __init__(self, log_file: Path) -> None:
        self._file = log_file
        self._begin = 0

    def begin(self) -> None:
        """Another Envoy writes from here on."""
        try:
            self._begin = self._file.stat().st_size
        except OSError:
            self._begin = 0

    def tail(self) -> str:
        """The end of the log."""
        return self._end(TAIL_BYTES, 0)

    def fault(self) -> signal.Signals | None:
        """The signal that the Envoy since `begin` says it died of; None where it says none."""
        return fault_in(self._end(LOOKED_THROUGH_BYTES, self._begin))

    def _end(self, count: int, begin: int) -> str:
        try:
            with self._file.open("rb") as log:
                size = log.seek(0, 2)
                log.seek(max(0, size - count, begin if begin <= size else 0))
                return log.read().decode(errors="replace")
        except OSError:
            return ""
