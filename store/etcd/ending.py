"""Ends a process that has spoken gRPC: at once, without tearing the interpreter down.

A thread that gRPC still holds can keep Python from ever finishing its own end (seen once in some fifty ends on a
machine under heavy load, in the last garbage collection). What matters has been written by then, so the process leaves
without it. SHELL.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

__all__ = ["end_process"]


def end_process(status: int) -> NoReturn:
    """Flush what was printed and end the process with `status`; nothing registered for its end is run."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status)  # whatever else went wrong, the want of memory for instance
