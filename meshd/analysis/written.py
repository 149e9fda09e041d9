"""Objects that are about to be written: the model, and where its fields stand in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from store.diagnostics import Diagnostic, Level, Path, diagnose
from store.keys import MESH_KEY
from store.manifest import Document
from store.objects import parse_object
from store.objects.base import MeshObject, ObjectRef
from store.objects.kinds import KINDS, Kind, kind_named
from store.validation import check_object
from store.validation.check import Locate

__all__ = ["Written", "given_twice", "written_document"]


@dataclass(frozen=True, slots=True)
class Written:
    """One object about to be written."""

    ref: ObjectRef
    """Its identity."""
    model: MeshObject
    """What it says."""
    file: str
    """File that it was read from."""
    locate: Locate
    """Where its fields stand."""
    is_valid: bool = True
    """False when a rule for the object itself is broken: it is looked at, but nothing is built from it."""


def written_document(document: Document, namespace: str = "default") -> Written | None:
    """The object of a document; None when its shape is so wrong that no model can be made.

    An object that only breaks rules is analysed as well, so that all of its problems are told at once.

    Args:
        document: As read from a file.
        namespace: Namespace of an object that names none.
    """
    model, _ = check_object(document.value, document.file, document.locate)
    is_valid = model is not None and not any(p.level is Level.ERROR for p in document.problems)
    if model is None:
        try:
            model = parse_object(document.value)
        except ValidationError:
            return None
    ref = ObjectRef(model.kind, model.metadata.namespace or namespace, model.metadata.name)
    if model.kind is Kind.MESH_CONFIG:
        ref = ObjectRef(Kind.MESH_CONFIG, "", MESH_KEY)
    return Written(ref, model, document.file, document.locate, is_valid)


def given_twice(documents: Iterable[Document], namespace: str) -> list[Diagnostic]:
    """A problem for each document that is another version of an object of an earlier one, readable or not.

    Args:
        documents: As read from files.
        namespace: Namespace of objects that name none.
    """
    first: dict[str, Document] = {}
    found = []
    path: Path = ("metadata", "name")
    for document in documents:
        identity = _identity(document, namespace)
        other = first.setdefault(identity, document) if identity else document
        if other is not document:
            found.append(
                diagnose(
                    "MESH0260",
                    f"{identity} is given already, in {other.file}:{other.locate(path)[0]}",
                    path=path,
                    hint="give one of the two another name, or remove it",
                    file=document.file,
                    place=document.locate(path),
                    about=identity,
                )
            )
    return found


def _identity(document: Document, namespace: str) -> str:
    """The identity that a document claims, however wrong the rest of it is; empty where it claims none."""
    kind, metadata = document.value.get("kind"), document.value.get("metadata")
    known = kind_named(kind) if isinstance(kind, str) else None
    if known is None or not isinstance(metadata, Mapping):
        return ""
    name, place = metadata.get("name"), metadata.get("namespace") or namespace
    if not isinstance(name, str) or not isinstance(place, str) or not name:
        return ""
    return str(ObjectRef(known, place if KINDS[known].namespaced else "", name))
