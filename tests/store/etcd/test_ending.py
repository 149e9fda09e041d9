"""The end of a process that has spoken gRPC: what was printed is out, nothing else is waited for."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import atexit, sys, threading, time
from store.etcd.ending import end_process
threading.Thread(target=time.sleep, args=(600,)).start()
atexit.register(print, "never")
print("said")
print("complained", file=sys.stderr)
end_process(5)
"""


def test_what_was_printed_is_out_and_no_thread_is_waited_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (5, "said\n", "complained\n")
