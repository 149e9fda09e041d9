"""YAML events to nodes: values with the line and column of every field.

What libyaml's events mean is decided here: unquoted words (`scalars`), duplicate keys, aliases, merge keys,
tags, bounds on depth and size. The builder is iterative, so nesting cannot exhaust the stack, and it goes
on after every problem that leaves the structure clear.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import yaml

from store.diagnostics import Diagnostic, Path, diagnose
from store.manifest.scalars import Scalar, old_reading, resolve

__all__ = ["DEPTH_MAX", "NODES_MAX", "Builder", "Child", "Node", "TooLarge"]

DEPTH_MAX = 64
"""Deepest nesting read. The deepest field of the API lies at 14; JSON encoders recurse, so there is a bound."""

NODES_MAX = 200_000
"""Most values in one document, aliases expanded: several times what fits into etcd's 1.4 MiB."""

SAME_PROBLEM_MAX = 100
"""Most problems of one code that are named in one text."""

_YAML_TAG = "tag:yaml.org,2002:"

Place = tuple[int, int]
"""Line and column, both from 0."""


class TooLarge(Exception):
    """The text goes beyond a bound; `place` is where, counted from 0."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


class Node:
    """One value of a document and where it stands. Lines and columns count from 0."""

    __slots__ = ("children", "column", "line", "size", "value")

    def __init__(self, value: object, place: Place) -> None:
        self.value = value
        self.line, self.column = place
        self.size = 1
        self.children: dict[str | int, Child] = {}


@dataclass(slots=True)
class Child:
    """A node within its parent, and where its key (of a list item: its content) stands."""

    node: Node
    place: Place


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    node: Node
    is_mapping: bool
    anchor: str | None
    key: str | None = None
    """The key whose value comes next; None when a key comes next."""
    key_place: Place = (0, 0)
    merges: list[Node] = field(default_factory=list)


class Builder:
    """Folds libyaml's events into `roots`, one node for each document, and `problems`.

    Each problem stands with the position in `roots` of its document; its lines and columns count from 0.

    Args:
        first_line: The number of the text's first line in its file, for lines that messages name.
    """

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self.roots: list[Node] = []
        self.problems: list[tuple[int, Diagnostic]] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._size = 0
        self._two_in_one = False
        self._counts: dict[str, int] = {}

    def take(self, event: yaml.Event) -> None:
        """Fold one event.

        Raises:
            TooLarge: The document goes beyond a bound; nothing more can be read from this text.
        """
        mark = event.start_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, place)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, place)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._frames.pop()
                _merge(frame)
                self._finish(frame.node, frame.anchor)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), place)
            case yaml.DocumentStartEvent():
                self._frames, self._anchors, self._root, self._size = [], {}, None, 0
                self._two_in_one = False
            case yaml.DocumentEndEvent():
                if self._root is not None:
                    self.roots.append(self._root)
            case _:
                pass

    def _count(self, size: int, place: Place) -> None:
        self._size += size
        if self._size > NODES_MAX:
            raise TooLarge(f"more than {NODES_MAX} values, aliases expanded", place)

    def _wants_key(self) -> bool:
        return bool(self._frames) and self._frames[-1].is_mapping and self._frames[-1].key is None

    def _open(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if len(self._frames) >= DEPTH_MAX:
            raise TooLarge(f"nested deeper than {DEPTH_MAX} levels", place)
        self._count(1, place)
        self._refuse_tag(event.tag, "map" if is_mapping else "seq", place)
        self._frames.append(_Frame(Node({} if is_mapping else [], place), is_mapping, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        word = event.value
        plain = not event.style and event.tag is None
        value = resolve(word) if plain else self._tagged(word, event.tag, place)
        if plain and isinstance(value, str):
            other = old_reading(word)
            if other:
                message = f"{word} is text here, but readers of YAML 1.1 take it for {other}"
                hint = f'put it in quotes: "{word}"'
                if other.startswith("the number"):
                    hint += ", or write a plain decimal number"
                self._problem(
                    "MESH0130", message, place, hint, key=word if self._wants_key() else ""
                )
        if self._wants_key():
            self._take_key(word, value, place)
            if event.anchor:
                self._anchors[event.anchor] = Node(value, place)
            return
        self._count(1, place)
        self._finish(Node(value, place), event.anchor)

    def _take_key(self, word: str, value: object, place: Place) -> None:
        frame = self._frames[-1]
        if not isinstance(value, str):
            found = word or "empty"
            hint = (
                f'put it in quotes: "{word}"'
                if word
                else "write the name of the field before the colon"
            )
            message = f"the key is {found}, which is not text"
            self._problem("MESH0127", message, place, hint, key=word)
        first = frame.node.children.get(word)
        if first is not None and word != "<<":
            hint = f'the first "{word}" is in line {first.place[0] + self._first_line}; remove one of the two'
            if word == "apiVersion" and len(self._frames) == 1:
                hint = "two objects in one document: put a line of three hyphens (---) before it"
                self._two_in_one = True
            if len(self._frames) > 1 or not self._two_in_one or word == "apiVersion":
                self._problem("MESH0126", f'"{word}" is given twice', place, hint, key=word)
        frame.key, frame.key_place = word, place

    def _alias(self, name: str, place: Place) -> None:
        target = self._anchors.get(name)
        if target is None:
            self._refuse_alias(name, place)
            target = Node(f"*{name}", place)
        if self._wants_key():
            self._take_key(str(target.value)[:80], target.value, place)
            return
        self._count(target.size, place)
        node = Node(copy.deepcopy(target.value), place)
        node.size, node.children = target.size, target.children
        self._finish(node, None)

    def _refuse_alias(self, name: str, place: Place) -> None:
        if any(frame.anchor == name for frame in self._frames):
            message = f"the alias *{name} stands within what it refers to"
            self._problem("MESH0129", message, place, "write the value out")
        else:
            hint = f'a plain * begins an alias in YAML; for the text itself write "*{name}"'
            self._problem("MESH0124", f"*{name} is not in quotes", place, hint)

    def _finish(self, node: Node, anchor: str | None) -> None:
        """A value is complete: give it to its parent."""
        if anchor:
            self._anchors[anchor] = node
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        frame.node.size += node.size
        owner = frame.node.value
        if isinstance(owner, list):
            frame.node.children[len(owner)] = Child(node, (node.line, node.column))
            owner.append(node.value)
            return
        assert isinstance(owner, dict)
        key, frame.key = frame.key, None
        if key is None:
            place = (node.line, node.column)
            self._problem(
                "MESH0127",
                "a list or mapping cannot be a key",
                place,
                "write text before the colon",
            )
            frame.key, frame.key_place = "?", place
        elif key == "<<":
            frame.merges.append(node)
        elif key not in owner:
            frame.node.children[key] = Child(node, frame.key_place)
            owner[key] = node.value

    def _tagged(self, word: str, tag: str | None, place: Place) -> Scalar:
        name = "str" if tag in (None, "!") else str(tag).removeprefix(_YAML_TAG)
        if name == "str":
            return word
        value = resolve(word)
        match name, value:
            case ("bool", bool()) | ("null", None):
                return value
            case ("int" | "float", int() | float()) if not isinstance(value, bool):
                return value
        self._refuse_tag(tag, "str", place)
        return word

    def _refuse_tag(self, tag: str | None, usual: str, place: Place) -> None:
        if tag not in (None, "!", _YAML_TAG + usual):
            shown = str(tag).replace(_YAML_TAG, "!!")
            self._problem(
                "MESH0129", f"the tag {shown} has no meaning here", place, "remove the tag"
            )

    def _problem(self, code: str, message: str, place: Place, hint: str, *, key: str = "") -> None:
        parts: list[str | int] = []
        for frame in self._frames:
            if not frame.is_mapping:
                parts.append(len(frame.node.children))
            elif frame.key is not None:
                parts.append(frame.key)
        path: Path = (*parts, key) if key else tuple(parts)
        self._counts[code] = self._counts.get(code, 0) + 1
        if self._counts[code] > SAME_PROBLEM_MAX:
            return
        self.problems.append(
            (len(self.roots), diagnose(code, message, path=path, hint=hint, place=place))
        )


def _merge(frame: _Frame) -> None:
    """Fold `<<` into a finished mapping: what the mapping says itself wins, then the earlier merge."""
    fields = frame.node.value
    for merged in frame.merges:
        listed = [child.node for child in merged.children.values()]
        for source in listed if isinstance(merged.value, list) else [merged]:
            if not isinstance(source.value, dict) or not isinstance(fields, dict):
                continue
            for key, child in source.children.items():
                if key not in fields:
                    frame.node.children[key] = child
                    fields[key] = source.value[key]
