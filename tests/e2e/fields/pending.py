"""Fields that are in force and not proven yet: a table that only shrinks (braces stand for several)."""

from __future__ import annotations

PENDING: tuple[str, ...] = (
)
