"""Where settings come from: flags, then the environment, then a TOML file, then defaults, merged key by key.

Keeps the origin of each value, for `--show-config` and for complaints that name the place to mend.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sidecar.agent.settings import SidecarSettings
from store.errors import InputError
from store.etcd.settings import VARIABLES as ETCD_VARIABLES

__all__ = ["Layer", "from_layers", "layers", "origin"]

Layer = tuple[str, Mapping[str, Any]]
"""Where settings came from (`flags`, `environment`, a file's name), and the nested settings."""


def layers(
    config: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> tuple[Layer, ...]:
    """The layers of settings, strongest first.

    Args:
        config: A TOML file, or None.
        environment: Process environment; `MESHD_NODE`, `MESHD_ENVOY__CONCURRENCY`, `MESHD_ETCD` (endpoints).
        flags: Nested settings from the command line, unset ones left out.

    Raises:
        InputError: The file cannot be read or is not TOML.
    """
    found: list[Layer] = [("flags", flags), ("environment", _from_environment(environment))]
    if config is not None:
        try:
            found.append((str(config), tomllib.loads(config.read_text(encoding="utf-8"))))
        except OSError as problem:
            raise InputError(f"{config}: cannot be read: {problem.strerror}") from problem
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise InputError(f"{config}: is not TOML: {problem}") from problem
    return tuple(found)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    # How to reach etcd is said once for all programs: MESHD_ETCD, MESHD_ETCD_CA, MESHD_PREFIX, ...
    shared = {variable: field for field, (_, variable) in ETCD_VARIABLES.items()}
    etcd = {field: environment[name] for name, field in shared.items() if environment.get(name)}
    nested: dict[str, Any] = {"etcd": etcd} if etcd else {}
    for variable, text in environment.items():
        path = variable.removeprefix("MESHD_").lower().split("__")
        if not variable.startswith("MESHD_") or variable in shared:
            continue
        if path[0] not in SidecarSettings.model_fields:
            continue  # MESHD_TEST_DEEP, MESHD_VENV and the like are not ours to judge
        place = nested
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = _parse(text)
    return nested


def _parse(text: str) -> Any:
    """Environment values: TOML for tables and lists, else text (numbers are read by the model)."""
    if text[:1] in ("{", "["):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def merge(stack: tuple[Layer, ...]) -> dict[str, Any]:
    """One nested mapping; tables are merged, everything else is replaced by the stronger layer."""
    result: dict[str, Any] = {}
    for _, layer in reversed(stack):
        result = _merged(result, layer)
    return result


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both and key != "labels" else value
    return result


def from_layers(stack: tuple[Layer, ...]) -> SidecarSettings:
    """The effective settings.

    Raises:
        InputError: With every wrong setting, where it was set, and what was allowed.
    """
    try:
        return SidecarSettings.model_validate(merge(stack))
    except ValidationError as problem:
        lines = [_complaint(stack, error["loc"], error["msg"]) for error in problem.errors()]
        raise InputError(
            "the settings are wrong:\n  " + "\n  ".join(lines),
            hint="`meshd-sidecar --show-config` prints every setting with its meaning",
        ) from problem


def _complaint(stack: tuple[Layer, ...], location: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in location) or "settings"
    return f"{path} ({origin(stack, location)}): {message.removeprefix('Value error, ')}"


def origin(stack: tuple[Layer, ...], location: tuple[int | str, ...]) -> str:
    """The strongest layer that says anything at `location`; `default` where none does."""
    for name, layer in stack:
        place: Any = layer
        for part in location:
            if isinstance(place, Mapping) and part in place:
                place = place[part]
            elif isinstance(place, (list, tuple)) and isinstance(part, int) and part < len(place):
                place = place[part]
            else:
                break
        else:
            return name
    return "default"
