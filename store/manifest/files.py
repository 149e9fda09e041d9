"""Files, folders and standard input, read into one manifest.

A file that cannot be read is a problem among the others, so that one run shows all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from store.diagnostics import Diagnostic, diagnose
from store.manifest.documents import TEXT_LENGTH_MAX, Manifest, read_text

__all__ = ["SUFFIXES", "read_paths"]

SUFFIXES = (".yaml", ".yml", ".json")
"""The files that are read from a folder; a file that is named itself may be called anything."""


def read_paths(paths: Sequence[str], stdin: BinaryIO | None = None) -> Manifest:
    """Read files, folders (recursively, in order of name; hidden ones left out) and `-` for standard input.

    Args:
        paths: What the user named, in order.
        stdin: Where `-` reads from, as bytes.

    Returns:
        All documents and problems. A path without any document is a problem: it is almost always a mistake.
    """
    manifest = Manifest()
    for path in paths:
        manifest += _read_one(path, stdin)
    return manifest


def _read_one(path: str, stdin: BinaryIO | None) -> Manifest:
    if path == "-":
        if stdin is None:
            return _refused("-", "there is no standard input to read")
        return _required(
            _decode(stdin.read(TEXT_LENGTH_MAX * 4), "-"), "-", "standard input is empty"
        )
    place = Path(path)
    if not place.is_dir():
        return _required(_read_file(place), path, "the file holds no object")
    found = Manifest()
    for file in sorted(_files_below(place)):
        found += _read_file(file)
    return _required(found, path, f"no object in any {', '.join(SUFFIXES)} file of this folder")


def _files_below(folder: Path) -> Iterable[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not hidden and file.suffix.lower() in SUFFIXES and file.is_file():
            yield file


def _read_file(file: Path) -> Manifest:
    try:
        with file.open("rb") as stream:
            content = stream.read(TEXT_LENGTH_MAX * 4)
    except OSError as error:
        return _refused(str(file), error.strerror or str(error))
    return _decode(content, str(file))


def _decode(content: bytes, file: str) -> Manifest:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        found = f"byte 0x{content[error.start]:02x} is not UTF-8"
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        hint = "the file is UTF-16: save it as UTF-8" if utf16 else "save the file as UTF-8"
        problem = diagnose("MESH0121", found, hint=hint, file=file, place=(line, column))
        return Manifest((), (problem,))
    return read_text(text, file)


def _required(manifest: Manifest, path: str, message: str) -> Manifest:
    if manifest.documents or manifest.diagnostics:
        return manifest
    hint = "name a file with objects, or a folder that has some"
    problem: Diagnostic = diagnose("MESH0132", message, hint=hint, file=path)
    return Manifest((), (problem,), manifest.sources)


def _refused(file: str, reason: str) -> Manifest:
    hint = "check the path and its permissions"
    return Manifest((), (diagnose("MESH0120", f"cannot be read: {reason}", hint=hint, file=file),))
