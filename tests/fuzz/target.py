"""One thing that takes bytes of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and where to begin."""

    name: str
    run: Callable[[bytes], None]
    """Takes any bytes. Fails by an exception, AssertionError included."""
    examples: tuple[bytes, ...]
    """Inputs that reach far: changed by the fuzzers."""
    bytes_max: int = 4096
    """Inputs are no longer than this."""
