"""`--show-config`: every setting with its effective value, where it came from, and its line of advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sidecar.agent.settings import SidecarSettings
from sidecar.agent.settings_layers import Layer, origin

__all__ = ["report"]


def report(settings: SidecarSettings, stack: tuple[Layer, ...]) -> str:
    """The settings as TOML that `--config` takes back, with origin and advice as comments."""
    return "\n".join(_table(settings, stack, ())).rstrip() + "\n"


def _table(model: BaseModel, stack: tuple[Layer, ...], path: tuple[str, ...]) -> list[str]:
    plain: list[str] = []
    nested: list[str] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        where = (*path, name)
        if isinstance(value, BaseModel):
            nested += ["", f"[{'.'.join(where)}]", *_table(value, stack, where)]
            continue
        if value is None:
            continue
        advice = " ".join((field.description or "").split())
        plain += [f"# {advice} ({origin(stack, where)})", f"{name} = {_toml(value)}"]
    return plain + nested


def _toml(value: Any) -> str:
    """One value as TOML; lists of tables become inline tables."""
    if isinstance(value, BaseModel):
        rows = {name: getattr(value, name) for name in type(value).model_fields}
        return _toml({name: row for name, row in rows.items() if row is not None})
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(value)
