"""One object, all checks: what it is, its shape, the rules of its kind, what is not in force yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from store.diagnostics import Diagnostic, Level, Path, diagnose
from store.manifest import Document
from store.objects.base import MeshObject
from store.validation.findings import Findings
from store.validation.identity import check_metadata, described, recognise
from store.validation.rules import check_rules
from store.validation.schema import parse_or_explain

__all__ = ["Locate", "check_document", "check_object"]

_ABSENCE = frozenset(("MESH0101", "MESH0319", "MESH0322", "MESH0330", "MESH0331", "MESH0380"))
"""Codes that say that something is missing."""


class Locate(Protocol):
    """Where a field stands: line and column, both from 1."""

    def __call__(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """The place of the value at `path`, or of its key."""
        ...


def check_object(
    document: Mapping[str, object], file: str = "", locate: Locate | None = None
) -> tuple[MeshObject | None, list[Diagnostic]]:
    """Check one document, whatever it holds; never raises.

    Args:
        document: Plain mappings, lists, texts, numbers, booleans and None.
        file: The name to show in problems.
        locate: Where its fields stand, when known.

    Returns:
        The model, or None when there is any error (or the document is no object of ours), and every
        problem, sorted by position.
    """
    found = Findings()
    model = None
    kind = recognise(document, found)
    if kind is not None:
        check_metadata(document, kind, found)
        model = parse_or_explain(document, kind, found)
        if model is not None:
            check_rules(model, found)
    about = described(document)
    problems = [
        diagnose(
            finding.code,
            finding.message,
            path=finding.path,
            hint=finding.hint,
            file=file,
            place=locate(finding.path, at_key=finding.at_key) if locate else (0, 0),
            about=about,
        )
        for finding in found.found
    ]
    return (None if found.has_errors() else model), sorted(set(problems))


def check_document(document: Document) -> list[Diagnostic]:
    """Every problem of a document that was read from a file, with its places."""
    errors = [problem for problem in document.problems if problem.level is Level.ERROR]
    places = {(problem.line, problem.column) for problem in errors}
    codes = {problem.code for problem in errors}
    return [
        problem
        for problem in check_object(document.value, document.file, document.locate)[1]
        # What reading has named at a place is of a wrong type there as well, and what it had to leave out is missing.
        if not (problem.code == "MESH0103" and (problem.line, problem.column) in places)
        and not (problem.code in _ABSENCE and "MESH0128" in codes)
    ]
