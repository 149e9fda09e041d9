"""Files of objects, read and judged: what `put`, `diff`, `validate` and `delete -f` begin with.

Documents of other systems (a Kubernetes Deployment, for instance) are skipped with a note.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meshd.cli.session import Session
from store.changes import object_ref
from store.diagnostics import Diagnostic, Level, diagnose, render, summary
from store.errors import InputError
from store.manifest import Document, read_paths
from store.objects.kinds import ObjectRef
from store.validation import check_document

__all__ = ["Reading", "errors", "read", "refuse_errors", "say"]

_SKIPPED = "MESH0112"
"""Code of documents that are objects of other systems."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What some files hold."""

    documents: tuple[Document, ...]
    """Objects of the mesh, each with its namespace; some may be invalid."""
    diagnostics: tuple[Diagnostic, ...]
    """Every problem of reading and of each object, sorted."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """The lines of each file."""

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """The objects, by identity. Only where nothing is invalid."""
        return tuple(object_ref(document.value) for document in self.documents)


def read(session: Session, paths: Sequence[str]) -> Reading:
    """Read and check files, folders and `-`; an object without a namespace gets the session's.

    Raises:
        InputError: `-n` names a namespace, and an object is for another.
    """
    stdin = sys.stdin.buffer if "-" in paths else None
    manifest = read_paths(paths, stdin)
    problems = list(manifest.diagnostics)
    documents = []
    for document in manifest.documents:
        found = check_document(document)
        problems += found
        if not any(problem.code == _SKIPPED for problem in found):
            documents.append(_placed(document, session, problems))
    return Reading(tuple(documents), tuple(sorted(set(problems))), manifest.sources)


def _placed(document: Document, session: Session, problems: list[Diagnostic]) -> Document:
    """The document with its namespace filled in; a namespace that `-n` contradicts becomes a problem."""
    metadata = document.value.get("metadata")
    if not isinstance(metadata, dict) or document.value.get("kind") == "MeshConfig":
        return document
    namespace, told = metadata.get("namespace"), session.namespace_given
    if not namespace:
        filled: dict[str, Any] = {**metadata, "namespace": session.namespace}
        return replace(document, value={**document.value, "metadata": filled})
    if told is not None and namespace != told:
        path = ("metadata", "namespace")
        problems.append(
            diagnose(
                "MESH0115",
                f'found "{namespace}", but -n says "{told}"',
                path=path,
                hint="leave -n out, or put the object into another file",
                file=document.file,
                place=document.locate(path),
            )
        )
    return document


def errors(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Those that are errors."""
    return [problem for problem in problems if problem.level is Level.ERROR]


def say(session: Session, reading: Reading) -> None:
    """Show every problem on standard error; `-q` leaves notes and warnings out."""
    shown = errors(reading.diagnostics) if session.console.quiet else reading.diagnostics
    if shown:
        session.console.warn(render(shown, reading.sources))


def refuse_errors(session: Session, reading: Reading, consequence: str) -> None:
    """Show all problems and end the run when one is an error.

    Args:
        session: This run.
        reading: What was read.
        consequence: What did not happen, for instance `nothing was written`.

    Raises:
        InputError: There are errors.
    """
    say(session, reading)
    if errors(reading.diagnostics):
        files = len(reading.sources)
        raise InputError(f"{summary(reading.diagnostics, files)}; {consequence}")
