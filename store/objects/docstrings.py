"""The strings that stand behind fields in the source of the models: what the fields mean.

pydantic can keep them itself (`use_attribute_docstrings`), but then every start pays a third of the time that the
models take to load, for what only `explain` and the generated documentation read.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache

from store.objects.base import Model

__all__ = ["field_docstrings", "model_named", "sentences"]


@cache
def field_docstrings(model_name: str) -> dict[str, str]:
    """The docstrings behind the fields of a model, by YAML name; empty for an unknown model."""
    model = model_named(model_name)
    if model is None:
        return {}
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, Model):
            for name, text in _attribute_docstrings(one.__module__).get(one.__name__, {}).items():
                if name in model.model_fields:
                    found[model.model_fields[name].alias or name] = text
    return found


@cache
def _attribute_docstrings(module: str) -> dict[str, dict[str, str]]:
    """By class and attribute, the string that stands behind each annotated assignment in a module."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            match before, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found.setdefault(node.name, {})[name] = sentences(inspect.cleandoc(text))
    return found


def sentences(text: str) -> str:
    """A docstring without its line breaks; paragraphs stay apart."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def model_named(name: str) -> type[Model] | None:
    """The model of that class name among those loaded so far, or None."""
    waiting: list[type[Model]] = [Model]
    while waiting:
        one = waiting.pop()
        if one.__name__ == name and one.__module__.startswith("store.objects"):
            return one
        waiting += one.__subclasses__()
    return None
