"""Named profiles: which etcd, which prefix, which namespace; so that nobody types endpoints twice.

use = "prod"                      # ~/.config/meshd/config.toml (XDG_CONFIG_HOME counts)

[profile.prod]
endpoints = "https://10.0.0.1:2379,https://10.0.0.2:2379"
ca = "/etc/meshd/ca.pem"
namespace = "shop"
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from store.errors import InputError, NotFoundError

__all__ = ["FIELDS", "config_file", "profile_in_use", "read_profiles", "use_profile"]

FIELDS = (
    *("endpoints", "ca", "cert", "key", "user", "password_file", "prefix"),
    *("request_timeout_s", "namespace", "run_dir"),
)
"""What a profile may set, named as the options' parameters."""


def config_file(environment: Mapping[str, str]) -> Path:
    """Where profiles are kept: MESHD_CONFIG, else `meshd/config.toml` in the user's configuration."""
    if told := environment.get("MESHD_CONFIG"):
        return Path(told)
    base = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "meshd" / "config.toml"


def read_profiles(environment: Mapping[str, str]) -> tuple[str, dict[str, dict[str, str]]]:
    """The name of the profile in use (empty: none) and all profiles; both empty without a file.

    Raises:
        InputError: The file cannot be read, is not TOML, or has what no profile has.
    """
    file = config_file(environment)
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "", {}
    except OSError as problem:
        raise InputError(f"{file}: cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{file}: is not TOML: {problem}") from problem
    unknown = sorted(set(found) - {"use", "profile"})
    if unknown:
        raise InputError(f"{file}: {', '.join(unknown)}: only `use` and [profile.NAME] are known")
    tables = found.get("profile", {})
    if not isinstance(tables, dict):
        raise InputError(f"{file}: profile: must be tables [profile.NAME]")
    return str(found.get("use", "")), {
        name: _profile(file, name, table) for name, table in tables.items()
    }


def _profile(file: Path, name: str, table: object) -> dict[str, str]:
    if not isinstance(table, dict):
        raise InputError(f"{file}: profile.{name}: must be a table [profile.{name}]")
    unknown = sorted(set(table) - set(FIELDS))
    if unknown:
        raise InputError(
            f"{file}: profile.{name}.{unknown[0]}: unknown; allowed: {', '.join(FIELDS)}"
        )
    return {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in table.items()
    }


def profile_in_use(told: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of the profile named by `--profile`, MESHD_PROFILE or the file's `use`; else none.

    Raises:
        NotFoundError: There is no such profile.
    """
    use, profiles = read_profiles(environment)
    name = told or environment.get("MESHD_PROFILE") or use
    if not name:
        return {}
    if name not in profiles:
        has = ", ".join(sorted(profiles)) or "none"
        raise NotFoundError(
            f'{config_file(environment)}: there is no profile "{name}"', hint=f"It has: {has}"
        )
    return profiles[name]


def use_profile(name: str, environment: Mapping[str, str]) -> Path:
    """Make `name` the profile in use; only the `use` line of the file is changed.

    Raises:
        NotFoundError: There is no such profile.
    """
    profile_in_use(name, environment)
    file = config_file(environment)
    lines = file.read_text(encoding="utf-8").splitlines()
    tables = next((at for at, line in enumerate(lines) if line.startswith("[")), len(lines))
    head = [line for line in lines[:tables] if line.partition("=")[0].strip() != "use"]
    text = "\n".join([f'use = "{name}"', *head, *lines[tables:]]) + "\n"
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, delete=False
    ) as replacement:
        replacement.write(text)
    os.chmod(replacement.name, file.stat().st_mode)
    os.replace(replacement.name, file)
    return file
