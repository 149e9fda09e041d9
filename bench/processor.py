"""What a process used, as the kernel counts it: processor time and memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["cpu_s", "rss_mb"]

_SCHEDULED = 2
"""The clock of a process that counts scheduled time (CPUCLOCK_SCHED of the kernel's posix-timers.h)."""


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, ended ones too, in seconds; counted in nanoseconds.

    The same clock as clock_getcpuclockid(3) names; /proc/PID/stat counts in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in millions of bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
