"""Fields of documents by path: which are there, and a document with one of them taken out.

Paths are those of `store.objects.fields.walk` without the kind: `spec.http[].match[].headers{}.exact`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache

from pydantic import ValidationError

from store.objects import parse_object
from store.objects.fields import FieldDoc, walk
from store.objects.kinds import Kind
from tests.harness.catalogs import Document

__all__ = [
    "FIELDS",
    "Path",
    "Steps",
    "edited",
    "expand",
    "fields_of",
    "given",
    "leaves",
    "places",
    "without",
]

Path = str
Steps = tuple[str | int, ...]
"""The way to a value below the spec: names, keys, positions."""
FIELDS = tuple(kind for kind in Kind if kind is not Kind.MESH_CONFIG)
"""The kinds of Istio's API."""

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_NUMBER = re.compile(r"\d+")
_WORDS = {"HTTP": "TCP", "HTTPS": "TLS", "TCP": "HTTP", "TLS": "TCP"}
_HOLDER = re.compile(r"(\[\]|\{\})$")


@cache
def fields_of(kind: Kind) -> Mapping[Path, FieldDoc]:
    """The fields of a kind's spec, parents first, by path without the mark of a list or map at its end."""
    found = {}
    for doc in walk(kind):
        path = _HOLDER.sub("", doc.path.partition(".")[2])
        if path.startswith("spec."):
            found[path] = doc
    return found


@cache
def leaves(kind: Kind) -> tuple[Path, ...]:
    """The fields of a kind that hold no further fields."""
    paths = tuple(fields_of(kind))
    holders = {_HOLDER.sub("", path.rpartition(".")[0]) for path in paths}
    return tuple(path for path in paths if path not in holders)


def expand(text: str) -> tuple[Path, ...]:
    """`spec.a.{b,c}` as `spec.a.b` and `spec.a.c`; the outermost pair of braces first."""
    found = _BRACES.search(text)
    if found is None:
        return (text,)
    before, after = text[: found.start()], text[found.end() :]
    return tuple(
        path for part in found.group(1).split(",") for path in expand(f"{before}{part}{after}")
    )


def given(document: Document) -> frozenset[Path]:
    """Every field of the spec that a document gives."""
    return frozenset(path for path, _, _ in _places(document["spec"], "spec"))


def without(document: Document, path: Path) -> Iterator[Document]:
    """The document with the field taken out, for each place where it is given.

    A field that its parent cannot be without is given another value instead.
    """
    for found, steps, value in list(_places(document["spec"], "spec")):
        if found != path:
            continue
        removed = edited(document, steps, None)
        yield removed if _is_readable(removed) else edited(document, steps, (_another(value),))


def places(spec: object) -> Iterator[tuple[Steps, object]]:
    """The way to each field of a spec, and its value."""
    return ((steps, value) for _, steps, value in _places(spec, "spec"))


def _places(value: object, path: Path) -> Iterator[tuple[Path, Steps, object]]:
    """Each field: path, steps to it from the spec, value."""
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from _field(f"{path}.{name}", (name,), held)


def _field(path: Path, steps: Steps, value: object) -> Iterator[tuple[Path, Steps, object]]:
    yield path, steps, value
    if isinstance(value, list):
        for index, item in enumerate(value):
            for below, more, held in _places(item, f"{path}[]"):
                yield below, (*steps, index, *more), held
    elif isinstance(value, Mapping):
        if _is_map(path):
            for key, item in value.items():
                for below, more, held in _places(item, f"{path}{{}}"):
                    yield below, (*steps, key, *more), held
        else:
            for below, more, held in _places(value, path):
                yield below, (*steps, *more), held


@cache
def _maps() -> frozenset[Path]:
    """Maps of text to something, of all kinds."""
    docs = (doc for kind in Kind for doc in walk(kind))
    return frozenset(doc.path.partition(".")[2][:-2] for doc in docs if doc.path.endswith("{}"))


def _is_map(path: Path) -> bool:
    return path in _maps()


def edited(document: Document, steps: Steps, value: tuple[object] | None) -> Document:
    """A copy with another value (held in a tuple) at these steps below the spec, or none."""
    made = copy.deepcopy(dict(document))
    place = made["spec"]
    for step in steps[:-1]:
        place = place[step]  # type: ignore[index] # steps lead through mappings and lists
    if value is None:
        del place[steps[-1]]  # type: ignore[attr-defined] # as above
    else:
        place[steps[-1]] = value[0]  # type: ignore[index] # as above
    return made


def _another(value: object) -> object:
    """A different value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        if value in _WORDS:
            return _WORDS[value]
        number = _NUMBER.match(value)
        return f"{int(number[0]) + 1}{value[number.end() :]}" if number else f"x{value}"
    if isinstance(value, list):
        return [_another(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _another(held) for name, held in value.items()}
    return value


def _is_readable(document: Document) -> bool:
    try:
        parse_object(document)
    except (ValidationError, ValueError):
        return False
    return True
