"""Documents: the objects of a text, each with its source map; lists of objects are unfolded.

A text is cut at its `---` lines first (no YAML value can hold such a line), so that a document that does not
parse costs only itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from store.diagnostics import Diagnostic, Path, diagnose
from store.manifest.mending import MENDS_MAX, Mending
from store.manifest.nodes import DEPTH_MAX, Node
from store.manifest.parsing import Parsed, parse

__all__ = ["TEXT_LENGTH_MAX", "Document", "Manifest", "read_text"]

TEXT_LENGTH_MAX = 32 * 1024 * 1024
"""Longest text read, in characters: twenty times the largest change that etcd takes in one transaction."""

_MENDED_TEXT_MAX = 4 * 1024 * 1024
"""Most characters read again after mends of one document: each mend costs one more pass over it."""

_SEPARATOR = re.compile(r"(?:---|\.\.\.)(?:\s|$)")
_KIND = re.compile(r"^\s*[\"']?kind[\"']?\s*:\s*[\"']?(\w+)", re.MULTILINE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One object as it was written, and where each of its fields stands."""

    value: dict[str, object]
    """The object as plain mappings, lists, texts, numbers, booleans and None."""
    file: str
    """The file that it was read from; `-` for standard input."""
    line: int
    """The line, from 1, on which it begins."""
    source_lines: tuple[str, ...] = field(default=(), repr=False)
    """All lines of that file."""
    positions: Positions | None = field(default=None, repr=False, compare=False)
    """Where its fields stand; None when that is not known."""
    problems: tuple[Diagnostic, ...] = field(default=(), repr=False)
    """What was found in it while reading; part of the manifest's diagnostics as well."""

    def locate(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path`, or of its key.

        A field that is not there is answered with the place of the key of its nearest ancestor that is.
        """
        if self.positions is None:
            return (self.line, 1)
        return self.positions.locate(path, at_key=at_key)


class Positions:
    """Where the fields of one document stand."""

    def __init__(self, root: Node, first_line: int, mending: Mending | None) -> None:
        self._root = root
        self._first_line = first_line
        self._mending = mending

    def locate(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """See `Document.locate`."""
        node = self._root
        key_place = (node.line, node.column)
        for part in path:
            child = node.children.get(part)
            if child is None:
                return self.place(key_place)
            node, key_place = child.node, child.place
        # An empty value has a place of its own only in name (the next token's); its key says more.
        return self.place(key_place if at_key or node.value is None else (node.line, node.column))

    def below(self, node: Node) -> Positions:
        """The positions of an object that is an item of a list of objects."""
        return Positions(node, self._first_line, self._mending)

    def place(self, place: tuple[int, int]) -> tuple[int, int]:
        """A place of the stretch as read, led back to the file; both from 1."""
        line, column = self._mending.original(place) if self._mending else place
        return self._first_line + line, column + 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that was read: documents in the order of the text, and the problems found on the way."""

    documents: tuple[Document, ...] = ()
    """The objects; those of a text with errors may be incomplete and must not be stored."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Problems of reading, sorted."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """The lines of each file, for showing problems."""

    def __add__(self, other: Manifest) -> Manifest:
        """Both, one after the other."""
        return Manifest(
            self.documents + other.documents,
            tuple(sorted(self.diagnostics + other.diagnostics)),
            {**self.sources, **other.sources},
        )


def read_text(text: str, file: str = "") -> Manifest:
    """Read every document of a text; never raises.

    Args:
        text: YAML or JSON; a byte order mark at its start is ignored.
        file: The name to show in problems.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > TEXT_LENGTH_MAX:
        message = f"{len(text)} characters, and at most {TEXT_LENGTH_MAX} are read"
        return Manifest((), (diagnose("MESH0122", message, hint="split the file", file=file),))
    lines = tuple(_LINE_END.split(text))
    documents: list[Document] = []
    problems: list[Diagnostic] = []
    surrogate = _SURROGATES.search(text)
    if surrogate:
        line = text.count("\n", 0, surrogate.start()) + 1
        found = "a lone surrogate, half of a character, which UTF-8 cannot hold"
        problems.append(diagnose("MESH0121", found, hint="remove it", file=file, place=(line, 1)))
        lines = tuple(_LINE_END.split(_SURROGATES.sub("\ufffd", text)))
    for first, last in _stretches(lines):
        documents += _read_stretch(lines, first, last, file, problems)
    return Manifest(tuple(documents), tuple(sorted(set(problems))), {file: lines})


def _stretches(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where documents begin and end: cut before each `---`, save where only comments or directives precede it."""
    cuts = [0]
    bare = True
    for number, line in enumerate(lines):
        if not line.startswith("---") or not _SEPARATOR.match(line):
            bare = bare and _is_bare(line)
        else:
            if not bare:
                cuts.append(number)
            bare = _is_bare(line[3:])
    return list(zip(cuts, [*cuts[1:], len(lines)], strict=True))


def _is_bare(line: str) -> bool:
    """Whether a line says nothing: blank, a comment, or a directive."""
    return not line.strip() or line.lstrip()[0] == "#" or line[0] == "%"


def _read_stretch(
    lines: tuple[str, ...], first: int, last: int, file: str, problems: list[Diagnostic]
) -> list[Document]:
    """The documents of `lines[first:last]`; what is wrong with them is added to `problems`."""
    part = lines[first:last]
    if all(map(_is_bare, part)):
        return []
    parsed = parse("\n".join(part) + "\n", first + 1)
    mending = None
    mended: list[Diagnostic] = []
    if parsed.failure is not None:
        as_json = _read_json("\n".join(part))
        if as_json is not None:
            return _objects(as_json, file, first + 1, lines, problems)
        mending = Mending(part, first + 1, _kind_of("\n".join(part)))
        parsed = _mended(parsed, mending, first + 1)
        mended = [_placed(problem, file, first, None) for problem in mending.problems]
        problems += mended
    documents = []
    for index, root in enumerate(parsed.roots):
        found = [problem for document, problem in parsed.problems if document == index]
        if root.value is None or (found and _is_foreign(root.value)):
            found = []
        placed = [_placed(problem, file, first, mending) for problem in found]
        problems += placed
        documents += _unfold(
            root, Positions(root, first + 1, mending), file, lines, placed + mended, problems
        )
    return documents


def _mended(parsed: Parsed, mending: Mending, first_line: int) -> Parsed:
    passes = max(1, min(MENDS_MAX, _MENDED_TEXT_MAX // (1 + sum(map(len, mending.lines)))))
    for _ in range(passes):
        if parsed.failure is None or not mending.mend(parsed.failure):
            break
        parsed = parse("\n".join(mending.lines) + "\n", first_line)
    return parsed


def _placed(problem: Diagnostic, file: str, first: int, mending: Mending | None) -> Diagnostic:
    """A problem with its file, and its place (from 0, in the stretch) made one of the file (from 1)."""
    place = (problem.line, problem.column)
    line, column = mending.original(place) if mending else place
    return replace(problem, file=file, line=first + line + 1, column=column + 1)


def _kind_of(text: str) -> str:
    found = _KIND.search(text)
    return found.group(1) if found else ""


def _is_foreign(value: object) -> bool:
    """Whether a document is clearly an object of another system, whose peculiarities are not ours to judge."""
    if not isinstance(value, dict):
        return False
    version = value.get("apiVersion")
    return isinstance(version, str) and not version.startswith(
        ("networking.istio.io/", "meshd.io/")
    )


def _unfold(
    root: Node,
    positions: Positions,
    file: str,
    lines: tuple[str, ...],
    found: Sequence[Diagnostic],
    problems: list[Diagnostic],
) -> list[Document]:
    """The objects of one document: itself, or the items of a list of objects."""
    value = root.value
    if value is None:
        return []
    if not isinstance(value, dict):
        problems.append(_not_an_object(value, file, positions.place((root.line, root.column))))
        return []
    items = value.get("items")
    if not (str(value.get("kind", "")).endswith("List") and isinstance(items, list)):
        line, _ = positions.place((root.line, root.column))
        return [Document(value, file, line, lines, positions, tuple(found))]
    documents = []
    for child in root.children["items"].node.children.values():
        documents += _unfold(child.node, positions.below(child.node), file, lines, found, problems)
    return documents


def _objects(
    values: object, file: str, line: int, lines: tuple[str, ...], problems: list[Diagnostic]
) -> list[Document]:
    """The objects of a JSON text that YAML's grammar does not cover; their fields' places are not known."""
    if not isinstance(values, dict):
        problems.append(_not_an_object(values, file, (line, 1)))
        return []
    items = values.get("items")
    if str(values.get("kind", "")).endswith("List") and isinstance(items, list):
        return [one for item in items for one in _objects(item, file, line, lines, problems)]
    return [Document(values, file, line, lines)]


def _not_an_object(value: object, file: str, place: tuple[int, int]) -> Diagnostic:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    found = names.get(type(value), "a number")
    message = (
        f"the document is {found}; an object is a mapping with apiVersion, kind, metadata and spec"
    )
    hint = (
        "separate several objects with a line of three hyphens" if isinstance(value, list) else ""
    )
    return diagnose("MESH0113", message, hint=hint, file=file, place=place)


def _read_json(text: str) -> object | None:
    """The value of a strict JSON text, for the little that YAML's grammar does not cover: surrogate pairs, tabs."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value: object = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        return None
    return value if _depth_within(value, DEPTH_MAX) else None


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _depth_within(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_depth_within(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_depth_within(item, depth - 1) for item in value)
    return True
