"""One problem of shape in the words of the document's author: what was found, what is allowed, what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from store.diagnostics import Path, nearest_hint
from store.objects.kinds import Kind
from store.validation.findings import Findings
from store.validation.shape import fields_of, home_hint, is_list, model_at

__all__ = ["explain", "shown"]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
    "string_too_long": "at most {max_length} characters long",
    "string_too_short": "at least {min_length} characters long",
    "string_pattern_mismatch": "of the form {pattern}",
    "too_long": "a list or mapping of at most {max_length}",
    "too_short": "a list of at least {min_length}",
}
_LENGTHS = ("string_too_long", "string_too_short", "too_long", "too_short")
_QUOTED = re.compile(r"'([^']*)'")
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_SWITCHES = {
    "true": "true",
    "yes": "true",
    "on": "true",
    "false": "false",
    "no": "false",
    "off": "false",
}


def explain(problem: ErrorDetails, kind: Kind, at: Path, shape: Path, found: Findings) -> None:
    """Put one of pydantic's errors into words.

    Args:
        problem: The error.
        kind: The kind of the object.
        at: Where the value stands in the document.
        shape: Where such a value belongs; differs from `at` for a part that stands in a wrong place.
        found: Where the words go.
    """
    code, value = problem["type"], problem["input"]
    context: Mapping[str, Any] = problem.get("ctx", {})
    if code == "missing":
        hint = f'add "{at[-1]}", or look whether it is indented too little'
        found.add("MESH0101", at, "is required, but missing", hint, at_key=True)
    elif code == "extra_forbidden":
        found.add("MESH0102", at, "unknown field", _unknown_hint(kind, shape), at_key=True)
    elif value is None and (code in _WANTED or code in ("duration_type", "enum")):
        what = "list item" if isinstance(at[-1], int) else "field"
        found.add("MESH0107", at, "is empty", f"give it a value or remove the {what}", at_key=True)
    elif code in _WANTED:
        message = f"must be {_WANTED[code]}, found {shown(value)}"
        found.add("MESH0103", at, message, _type_hint(code, value, kind, shape))
    elif code == "duration_type":
        found.add("MESH0103", at, problem["msg"])
    elif code in ("enum", "literal_error"):
        allowed = _QUOTED.findall(str(context.get("expected", "")))
        message = f"must be one of {', '.join(allowed)}, found {shown(value)}"
        found.add("MESH0105", at, message, nearest_hint(str(value)[:80], allowed))
    elif code in _LIMITS:
        size = len(value) if code in _LENGTHS and hasattr(value, "__len__") else None
        amount = shown(value) if size is None else str(size)
        found.add("MESH0104", at, f"must be {_LIMITS[code].format(**context)}, found {amount}")
    else:
        found.add("MESH0106", at, problem["msg"])


def shown(value: object) -> str:
    """A value as its author knows it, shortened."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else _shown_integer(value)
        case list() | tuple():
            return "a list" if value else "an empty list"
        case Mapping():
            names = ", ".join(str(key)[:30] for key in list(value)[:3])
            return f"a mapping ({names}{', ...' if len(value) > 3 else ''})"
        case _:
            return "nothing" if value is None else type(value).__name__


def _shown_integer(value: int) -> str:
    return str(value) if abs(value) < 10**30 else "a very large number"


def _unknown_hint(kind: Kind, shape: Path) -> str:
    name = str(shape[-1])
    owner = model_at(kind, shape[:-1])
    known = sorted(fields_of(owner)) if owner is not None else []
    hint = nearest_hint(name, known) or home_hint(kind.value, name, shape[:-1])
    return hint or (f"known here: {', '.join(known)}" if 0 < len(known) <= 12 else "")


def _type_hint(code: str, value: object, kind: Kind, shape: Path) -> str:
    if isinstance(value, str):
        bare = value.strip().lower()
        if code in ("int_type", "float_type") and _WHOLE.fullmatch(bare):
            return f"remove the quotes: {bare}"
        if code == "bool_type" and bare in _SWITCHES:
            return f"write {_SWITCHES[bare]}, without quotes"
    if code == "string_type" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{shown(value)}"'
    if isinstance(value, list) and code not in ("tuple_type", "list_type"):
        return "only one can be given here" if len(value) > 1 else 'remove the "- "'
    if isinstance(value, Mapping):
        hints = [hint for key in value if (hint := home_hint(kind.value, str(key)))]
        if hints and code == "string_type":
            last = ", behind the rules that have a match" if {"route"} == set(value) else ""
            return hints[0].replace("move it there", f"move it there{last}")
    return 'begin each item with "- "' if is_list(kind, shape) else ""
