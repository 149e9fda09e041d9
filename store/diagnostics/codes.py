"""The table of all codes: the only place where a code has its level and meaning.

MESH00xx  faults in meshd itself
MESH01xx  reading: files, YAML, kinds, fields and their types       (`codes_reading`)
MESH02xx  several objects together, and what is not in force yet    (`codes_analysis`, `codes_mesh`)
MESH03xx  rules for one object                                      (`codes_rules`, `codes_kinds`)
MESH04xx  values found in the store                                 (`codes_store`)
"""

from __future__ import annotations

from store.diagnostics.code import Code
from store.diagnostics.codes_analysis import ANALYSIS_CODES
from store.diagnostics.codes_kinds import KIND_CODES
from store.diagnostics.codes_mesh import MESH_CODES
from store.diagnostics.codes_reading import READING_CODES
from store.diagnostics.codes_rules import RULE_CODES
from store.diagnostics.codes_store import STORE_CODES

__all__ = ["CODES"]

CODES: dict[str, Code] = {
    row.code: row
    for row in sorted(
        (*READING_CODES, *ANALYSIS_CODES, *MESH_CODES, *RULE_CODES, *KIND_CODES, *STORE_CODES),
        key=lambda c: c.code,
    )
}
"""Every code by its name, in order."""
