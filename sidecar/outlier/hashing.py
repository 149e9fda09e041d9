"""A hash that is the same on every host: for orders and jitter that all must agree on."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["fraction", "stable_hash"]


def stable_hash(*words: object) -> int:
    """A number of 64 bits that depends on nothing but the words."""
    text = "\x00".join(str(word) for word in words)
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def fraction(*words: object) -> float:
    """A number from 0 up to 1 that depends on nothing but the words."""
    return stable_hash(*words) / 2.0**64
