"""What ends the daemon against its will, told: a bug, or the want of memory, in its own task or in a thread.

A thread that gRPC needs and that died for want of memory (or of a thread to start) is never started again, and
nothing says so: Envoy finds nobody at its socket from then on, or no call to etcd returns, in a daemon that looks
alive. It ends as a whole then, as it does when its main thread gets none, and whoever watches over it starts another;
Envoy serves on. Only a question to the status API that needs too much is answered so, and nothing ends.
SHELL.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback

from store.errors import EXIT_OUT_OF_MEMORY, is_out_of_memory
from store.etcd.ending import end_process

__all__ = ["EXIT_BUG", "end_with_a_starved_thread", "tell_end"]

EXIT_BUG = 70
NOT_BEGUN = "in thread started"
"""What CPython says of a thread that failed before its own code began (3.11 to 3.13)."""
OUT_OF_MEMORY = (
    b"meshd-sidecar: it ended because it got no more memory, or no more threads. Envoy serves on; raise the limits of "
    b"this process (LimitAS=, MemoryMax=, TasksMax= of its unit; ulimit -v, -u), or see what else uses this host\n"
)


def tell_end(problem: BaseException) -> int:
    """Say what ended the daemon, which nothing in it could go on from; returns the exit status."""
    if is_out_of_memory(problem):
        # First what lies ready: where it happened is told as well as what is left of the memory allows.
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), OUT_OF_MEMORY)
        with contextlib.suppress(Exception):
            traceback.print_exception(problem)
        return EXIT_OUT_OF_MEMORY
    traceback.print_exception(problem)
    print("meshd-sidecar: this is a bug in meshd-sidecar: report the lines above", file=sys.stderr)
    return EXIT_BUG


def end_with_a_starved_thread() -> None:
    """From now on a thread that ends for want of memory ends the process; others are told of, as Python does.

    Also one that had not even begun: Python has its own words for that, and whoever started it waits for ever.
    """
    threading.excepthook = _on_end_of_thread
    sys.unraisablehook = _on_unraisable


def _on_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    _end_if_starved(ended.exc_value)
    threading.__excepthook__(ended)


def _on_unraisable(told: sys.UnraisableHookArgs) -> None:
    if told.err_msg is not None and NOT_BEGUN in told.err_msg:
        _end_if_starved(told.exc_value)
    sys.__unraisablehook__(told)


def _end_if_starved(problem: BaseException | None) -> None:
    if problem is not None and is_out_of_memory(problem):
        try:
            tell_end(problem)
        finally:
            end_process(EXIT_OUT_OF_MEMORY)
