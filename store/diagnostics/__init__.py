"""Diagnostics: one problem of one input, where it is, and what to do about it.

`codes` is the only place where a code is given its level and meaning; a code is never used for anything
else once it has been released. `rendering` turns problems into text for people and into JSON.
"""

from __future__ import annotations

from store.diagnostics.code import Code, Level
from store.diagnostics.codes import CODES
from store.diagnostics.nearest import nearest, nearest_hint
from store.diagnostics.problem import Diagnostic, Path, diagnose, path_text
from store.diagnostics.rendering import as_json, render, summary

__all__ = [
    "CODES",
    "Code",
    "Diagnostic",
    "Level",
    "Path",
    "as_json",
    "diagnose",
    "nearest",
    "nearest_hint",
    "path_text",
    "render",
    "summary",
]
