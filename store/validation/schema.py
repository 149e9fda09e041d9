"""Problems of shape: what pydantic says about a document, all of it at once.

Where a fault is plain (an unknown field, a mapping whose content stands beside it, a rule in the wrong list),
the document is mended for the further checks, so that they can be made too. A mended document is never
stored.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from store.diagnostics import Path, nearest
from store.objects import parse_object
from store.objects.base import MeshObject
from store.objects.kinds import Kind
from store.validation.findings import Findings
from store.validation.shape import fields_of, homes, model_at
from store.validation.wording import explain

__all__ = ["parse_or_explain"]

PROBLEMS_MAX = 100
"""Most problems of shape that are named for one object; a document of noise would have thousands."""


def parse_or_explain(
    document: Mapping[str, object], kind: Kind, found: Findings
) -> MeshObject | None:
    """The model of a document of `kind`; its problems of shape go to `found`.

    Returns:
        The model, or that of a mended copy where only plain faults were found, or None. Whether there
        were problems is for `found` to say.
    """
    try:
        return parse_object(document)
    except ValidationError as error:
        problems = error.errors(include_url=False)[:PROBLEMS_MAX]
    mended: dict[str, Any] = copy.deepcopy(dict(document))
    explained = _fold_strays(problems, kind, document, (), (), mended, found)
    plain = True
    for problem in problems:
        path = _path(problem)
        if path in explained:
            continue
        explain(problem, kind, path, path, found)
        plain = _take_out(path, problem["type"], kind, mended, found) and plain
    if not plain:
        return None
    _drop_strays(mended)
    try:
        return parse_object(mended)
    except ValidationError:
        return None


def _path(problem: ErrorDetails) -> Path:
    """Where a problem is; an illegal key of a map is at its entry."""
    path: Path = problem["loc"]
    return path[:-1] if path and path[-1] == "[key]" else path


def _fold_strays(
    problems: Sequence[ErrorDetails],
    kind: Kind,
    part: object,
    at: Path,
    shape: Path,
    mended: object,
    found: Findings,
) -> set[Path]:
    """Explain each mapping that is empty because its fields stand beside it as one problem.

    Args:
        problems: What pydantic says about `part`.
        kind: The kind of the object.
        part: The document, or a part of it that stands in a wrong place.
        at: Where `part` stands.
        shape: Where such a part belongs.
        mended: A copy of `part`, in which the fields are put where they belong.
        found: Where the explanations go.

    Returns:
        The paths, within `part`, that need no further explanation.
    """
    unknown = {problem["loc"] for problem in problems if problem["type"] == "extra_forbidden"}
    explained: set[Path] = set()
    for problem in problems:
        path = _path(problem)
        inner = model_at(kind, shape + path)
        if problem["input"] is not None or inner is None or not path or isinstance(path[-1], int):
            continue
        siblings, owner = _at(part, path[:-1]), _at(mended, path[:-1])
        if not isinstance(siblings, Mapping) or not isinstance(owner, dict):
            continue
        names = [n for n in siblings if (*path[:-1], n) in unknown and n in fields_of(inner)]
        if not names:
            continue
        found.add("MESH0107", at + path, *_stray_words(str(path[-1]), names), at_key=True)
        owner[path[-1]] = {name: owner.pop(name) for name in names}
        explained |= {path, *((*path[:-1], name) for name in names)}
    return explained


def _stray_words(owner: str, names: Sequence[str]) -> tuple[str, str]:
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb, belong = ("stands", "belongs") if len(names) == 1 else ("stand", "belong")
    message = f"is empty: {listed} {verb} beside it, but {belong} under it"
    return message, f'indent {listed} two spaces deeper than "{owner}"'


def _take_out(
    path: Path,
    problem: str,
    kind: Kind,
    mended: dict[str, Any],
    found: Findings,
) -> bool:
    """Take what is wrong out of the mended copy, where that raises no further problems; else False."""
    owner = _at(mended, path[:-1])
    if problem == "extra_forbidden" and isinstance(owner, dict):
        _rename(owner, str(path[-1]), model_at(kind, path[:-1]))
        return True
    if problem != "string_type" or not isinstance(owner, list) or not isinstance(path[-1], int):
        return False
    if not any(isinstance(item, str) for item in owner):
        return False
    part = owner[path[-1]]
    owner[path[-1]] = _STRAY
    if isinstance(part, Mapping):
        _relocate(part, path, kind, mended, found)
    return True


_STRAY = object()
"""Marks what was taken out of a list, whose other items must keep their positions for now."""


def _drop_strays(value: object) -> None:
    if isinstance(value, dict):
        for item in value.values():
            _drop_strays(item)
    elif isinstance(value, list):
        value[:] = [item for item in value if item is not _STRAY]
        for item in value:
            _drop_strays(item)


def _rename(owner: dict[str, Any], name: str, model: type[BaseModel] | None) -> None:
    """Take an unknown field out, or call it by the name that was most likely meant."""
    value = owner.pop(name, None)
    meant = nearest(name, fields_of(model)) if model is not None else None
    if meant is not None and meant not in owner:
        owner[meant] = value


def _relocate(
    part: Mapping[str, object], at: Path, kind: Kind, mended: dict[str, Any], found: Findings
) -> None:
    """A mapping in a list of texts, such as a rule among the hosts: check it as what it is, and move it there."""
    shape = _home(part, kind)
    model = model_at(kind, shape)
    if not shape or model is None:
        return
    moved = copy.deepcopy(dict(part))
    try:
        model.model_validate(part)
    except ValidationError as error:
        problems = error.errors(include_url=False)[:PROBLEMS_MAX]
        explained = _fold_strays(problems, kind, part, at, shape, moved, found)
        for problem in problems:
            path = _path(problem)
            missing_beside = problem["type"] == "missing" and len(path) == 1 and shape[-1] != 0
            if path not in explained and not missing_beside:
                explain(problem, kind, at + path, shape + path, found)
    home = _at(mended, shape[:-1] if shape[-1] == 0 else shape)
    if home is None and shape[-1] == 0 and isinstance(spec := mended.get("spec"), dict):
        home = spec.setdefault(str(shape[1]), [])
    if isinstance(home, list):
        home.append(moved)
    elif isinstance(home, dict):
        home.update({name: value for name, value in moved.items() if name not in home})


def _home(part: Mapping[str, object], kind: Kind) -> Path:
    """Where a mapping with these fields belongs: `spec` or one of its fields; empty when that is not clear."""
    places = [homes(kind, str(name)) for name in part]
    for place in places[0] if places else ():
        if (
            place.startswith("spec")
            and place.count(".") < 2
            and all(place in rest for rest in places)
        ):
            names = place.removesuffix("[]").split(".")
            return (*names, 0) if place.endswith("[]") else tuple(names)
    return ()


def _at(value: object, path: Path) -> object:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value
