"""One table put into another: fields that stand at several places are told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["placed"]


def placed(places: str | Iterable[str], table: Mapping[str, str]) -> Mapping[str, str]:
    """The table below each of these places; the empty path stands for the place itself, without its last mark."""
    return {
        f"{place}.{path}" if path else place.removesuffix("[]").removesuffix("{}"): text
        for place in ([places] if isinstance(places, str) else places)
        for path, text in table.items()
    }
