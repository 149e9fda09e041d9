"""The page of all codes, for the documentation; made from the table of codes."""

from __future__ import annotations

from store.diagnostics.code import Code
from store.diagnostics.codes import CODES

__all__ = ["handbook"]

_SECTIONS = (
    ("MESH00", "Faults in meshd itself"),
    ("MESH01", "Reading files, YAML, kinds and fields"),
    ("MESH02", "Several objects together, and what is not in force yet"),
    ("MESH03", "Rules for one object"),
    ("MESH04", "Values found in the store"),
)

_HEAD = """# Diagnostics

Every problem that meshd finds in an object has a code. A code keeps its meaning for ever. Errors are refused
(in etcd: the last valid generation stays in force), warnings are accepted and shown, notes are shown. What is
found in several objects together (MESH02xx) is only shown, since objects may come in any order:
`meshd put --fail-on error` refuses it.

This page is made from the table of codes (`store/diagnostics/`); a test keeps it true.
"""


def handbook() -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    for prefix, title in _SECTIONS:
        rows = [row for code, row in CODES.items() if code.startswith(prefix)]
        if rows:
            parts.append(f"## {prefix}xx: {title}\n")
            parts += [_entry(row) for row in rows]
    return "\n".join(parts)


def _entry(row: Code) -> str:
    return f"### {row.code}: {row.title}\n\n*{row.level.value.capitalize()}.* {row.cause}\n\n{row.fix}\n"
