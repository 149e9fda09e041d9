"""Codes MESH03xx: the rules for one object."""

from __future__ import annotations

from store.diagnostics.code import Code

__all__ = ["RULE_CODES"]

RULE_CODES: tuple[Code, ...] = ()
