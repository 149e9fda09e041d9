"""The `format` key: which stored formats this version understands.

The key says `{"format": N, "oldestReader": M}`: the store is written in format N, and readers of format M or newer
understand it. An absent key means format 1.
"""

from __future__ import annotations

import json

__all__ = ["FORMAT", "FormatUnreadable", "refusal_of_format"]

FORMAT = 1
"""The stored format that this version writes and reads."""


class FormatUnreadable(ValueError):
    """The format key holds something that is no format; whoever wrote it did not mean a newer meshd."""


def refusal_of_format(value: bytes) -> str:
    """Why this version must not load a store with this format key; empty when it may.

    Raises:
        FormatUnreadable: The value is not what any version of meshd writes.
    """
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise FormatUnreadable(
            f"expected JSON such as {_EXAMPLE}, found {_shown(value)}"
        ) from error
    oldest = found.get("oldestReader") if isinstance(found, dict) else None
    if type(oldest) is not int or oldest < 1:
        raise FormatUnreadable(f"expected {_EXAMPLE}, found {_shown(value)}")
    if oldest <= FORMAT:
        return ""
    return (
        f"the store is written in format {found.get('format', oldest)}, which readers of format {oldest} or newer "
        f"understand; this meshd reads format {FORMAT}"
    )


_EXAMPLE = '{"format":1,"oldestReader":1}'


def _shown(value: bytes) -> str:
    text = repr(value[:60])[1:]
    return f"{text}... ({len(value)} bytes)" if len(value) > 60 else text
