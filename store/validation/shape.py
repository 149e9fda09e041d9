"""The shape of the kinds: which fields exist where, for hints about fields that stand in a wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel

from store.diagnostics import Path
from store.objects import model_for
from store.objects.kinds import KINDS, Kind

__all__ = ["fields_of", "home_hint", "homes", "is_list", "model_at"]

_REMOVED = {
    "websocketUpgrade": "websockets need no setting any more: remove it",
    "appendHeaders": "it was removed from the API: use headers.request.add",
    "appendRequestHeaders": "it was removed from the API: use headers.request.add",
    "appendResponseHeaders": "it was removed from the API: use headers.response.add",
    "removeRequestHeaders": "it was removed from the API: use headers.request.remove",
    "removeResponseHeaders": "it was removed from the API: use headers.response.remove",
}
"""Fields of old versions of the API that are still met."""


@cache
def fields_of(model: type[BaseModel]) -> dict[str, object]:
    """The fields of a model by their YAML names, each with its type."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


@cache
def _inner(annotation: object) -> tuple[type[BaseModel] | None, str]:
    """The model within a type, and how it is held: `list`, `map` or `one`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0])
    if isinstance(annotation, type) and origin is None:
        return (annotation if issubclass(annotation, BaseModel) else None), "one"
    held = "list" if origin in (tuple, list) else "map" if origin is dict else ""
    for argument in reversed(get_args(annotation)):
        if argument is type(None) or argument is Ellipsis:
            continue
        model, inner_held = _inner(argument)
        if model is not None or inner_held != "one" or held:
            return model, held or inner_held
    return None, held or "one"


def model_at(kind: Kind, path: Path) -> type[BaseModel] | None:
    """The model that describes the mapping at `path`, or None where there is none."""
    model: type[BaseModel] | None = model_for(kind)
    held = "one"
    for part in path:
        if held != "one":
            held = "one"
            continue
        if model is None or not isinstance(part, str):
            return None
        annotation = fields_of(model).get(part)
        if annotation is None:
            return None
        model, held = _inner(annotation)
    return model if held == "one" else None


def is_list(kind: Kind, path: Path) -> bool:
    """Whether the field at `path` is a list."""
    parent = model_at(kind, path[:-1]) if path else None
    annotation = fields_of(parent).get(str(path[-1])) if parent else None
    return annotation is not None and _inner(annotation)[1] == "list"


@cache
def homes(kind: Kind, name: str) -> tuple[str, ...]:
    """Where a field of this name exists in `kind`, the shallowest places first, such as `spec.http[]`."""
    found = [place for place, fields in _places(model_for(kind), "", 0) if name in fields]
    return tuple(sorted(found, key=lambda place: place.count(".")))


def _places(model: type[BaseModel], at: str, depth: int) -> Iterator[tuple[str, dict[str, object]]]:
    fields = fields_of(model)
    yield at, fields
    if depth > 10:
        return
    for name, annotation in fields.items():
        inner, held = _inner(annotation)
        if inner is not None:
            suffix = {"list": "[]", "map": "[*]"}.get(held, "")
            yield from _places(inner, f"{at}.{name}{suffix}".lstrip("."), depth + 1)


def home_hint(kind: str, name: str, near: Path = ()) -> str:
    """Where a field that stands in a wrong place belongs in objects of `kind`; empty when nowhere.

    Args:
        kind: The kind, as written; any other word has no hint.
        name: The field.
        near: Where it stands; places below that come first.
    """
    if kind not in {names.kind.value for names in KINDS.values()}:
        return ""
    if name in _REMOVED:
        return _REMOVED[name]
    here = ".".join(part for part in near if isinstance(part, str))
    places = [place for place in homes(Kind(kind), name) if place.startswith("spec")]
    below = [place for place in places if here and place.replace("[]", "").startswith(here)]
    places = below or places or list(homes(Kind(kind), name))
    if not places or places[0] == "":
        return ""
    depth = places[0].count(".")
    shown = [place for place in places if place.count(".") == depth][:3]
    hint = f'"{name}" is a field of {" or ".join(shown)}: move it there'
    section = shown[0].removeprefix("spec.").removesuffix("[]")
    if shown[0].endswith("[]") and "." not in section and "[" not in section:
        hint += f", for instance\n  {section}:\n  - {name}:"
    return hint
