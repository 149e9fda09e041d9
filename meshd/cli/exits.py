"""Exit statuses: one table for all verbs, whatever the output format; the convention of grep and diff.

The statuses of errors live with the errors (`store.errors`); here are those that no error has.
"""

from __future__ import annotations

from store.errors import EXIT_OUT_OF_MEMORY

__all__ = [
    "BUG",
    "CONFLICT",
    "INTERRUPTED",
    "INVALID",
    "NO",
    "NOT_FOUND",
    "OK",
    "OUT_OF_MEMORY",
    "READER_GONE",
    "UNREACHABLE",
    "USAGE",
]

OK = 0
"""Done, or the answer is yes."""
NO = 1
"""The verb ran fine and the answer is no: differences, findings, unhealthy, no route, not in force."""
USAGE = 2
"""The command line is wrong."""
INVALID = 3
"""An object, a file or a setting is invalid."""
NOT_FOUND = 4
"""What was asked for does not exist."""
CONFLICT = 5
"""Somebody else wrote first; nothing was written."""
UNREACHABLE = 6
"""Store or sidecar cannot be reached, or did not answer in time."""
BUG = 70
"""A bug in meshd."""
OUT_OF_MEMORY = EXIT_OUT_OF_MEMORY
"""No more memory, or no more threads, were to be had."""
INTERRUPTED = 130
"""Ctrl-C, as shells say it: 128 + SIGINT."""
READER_GONE = 141
"""Whoever read our output has gone (`| head`), as shells say it: 128 + SIGPIPE."""
