"""Shared keys of gossip as files: made, written once, read. No error repeats any of them."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import sys
from pathlib import Path

from store.errors import ConflictError, InputError

__all__ = ["new_key", "read_key", "write_new"]

KEY_BYTES = 32
FILE_BYTES_MAX = 65_536
_LENGTHS = (16, 24, 32)


def new_key() -> str:
    """A key of 32 random bytes, in base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def write_new(path: str, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        ConflictError: It is there already.
        InputError: It cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as problem:
        raise ConflictError(
            f"{path} is there already; it was left as it is",
            hint="Name another file; `meshd keyring install` adds a key to the ones in use",
        ) from problem
    except OSError as problem:
        raise InputError(f"{path} cannot be written: {problem.strerror}") from problem
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def read_key(path: str) -> str:
    """The one key in a file, or in standard input where the path is `-`; `#` begins a comment.

    Raises:
        InputError: It cannot be read, or holds no key, or several, or something else. No content is repeated.
    """
    text = _read(path)
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [line for line in lines if line]
    if len(found) != 1:
        raise InputError(
            f"{_named(path)} has {len(found)} keys; one is needed",
            hint="One key of 16, 24 or 32 bytes in base64: `meshd keyring generate` makes one",
        )
    try:
        key = base64.b64decode(found[0], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"{_named(path)} holds no key in base64",
            hint="`meshd keyring generate` makes one",
        ) from None
    if len(key) not in _LENGTHS:
        raise InputError(
            f"the key in {_named(path)} has {len(key)} bytes; 16, 24 or 32 are allowed",
            hint="`meshd keyring generate` makes one of 32",
        )
    return found[0]


def _read(path: str) -> str:
    try:
        if path == "-":
            content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
    except OSError as problem:
        raise InputError(f"{path} cannot be read: {problem.strerror}") from problem
    if len(content) > FILE_BYTES_MAX:
        raise InputError(f"{_named(path)} has more than {FILE_BYTES_MAX} bytes: it is no key")
    return content.decode("utf-8", "replace")


def _named(path: str) -> str:
    return "standard input" if path == "-" else path
