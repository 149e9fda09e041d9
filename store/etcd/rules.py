"""Which rules judge stored values: a fingerprint of the sources that decide what is valid.

A value that these very rules have found valid need not be judged again at the next start. The sources are hashed, not
a version number compared: so it holds for a checkout and a patched installation too.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

__all__ = ["rules_fingerprint"]

_SOURCES = ("codec.py", "diagnostics", "keys.py", "manifest", "objects", "validation")
"""What decides, within the package `store`; pydantic's version counts as well."""


@cache
def rules_fingerprint() -> str:
    """Equal for two processes only if they find the same values valid; empty where the sources cannot be read."""
    import pydantic

    store = Path(__file__).resolve().parent.parent
    digest = sha256(pydantic.VERSION.encode())
    count = 0
    try:
        for name in _SOURCES:
            place = store / name
            for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(store)} {len(content)} ".encode() + content)
                count += 1
    except OSError:
        return ""
    return digest.hexdigest() if count > len(_SOURCES) else ""
