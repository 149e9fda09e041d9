"""Lines at a depth that nothing is open at: what their author most likely meant, in words and as a mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

__all__ = ["Misplaced", "Remedy", "block_end", "field_name", "line_depth", "misplaced"]

_FIELD = re.compile(r" *(?:- +)*(?P<key>[\w.\-/@]+|\"[^\"]*\"):(?: |$)")


class Remedy(Enum):
    """How reading can go on."""

    DEEPER = "indent the block by two more"
    AS_ITEM = "take the block for an item of the list above it"
    LEAVE_OUT = "leave the block out"


class Misplaced(NamedTuple):
    """What is wrong with a line's indentation."""

    message: str
    hint: str
    remedy: Remedy


def field_name(line: str) -> str:
    """The name of the field that a line begins with; empty when it begins with none."""
    found = _FIELD.match(line)
    return found.group("key").strip('"') if found else ""


def line_depth(line: str) -> int:
    """How many spaces a line begins with."""
    return len(line) - len(line.lstrip(" "))


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def block_end(lines: Sequence[str], start: int) -> int:
    """The line after the block that begins at `start`: itself, what is deeper, and its siblings below."""
    depth = line_depth(lines[start])
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if not _is_content(line):
            continue
        if line_depth(line) < depth or (
            line_depth(line) == depth and line.lstrip().startswith("- ")
        ):
            return number
    return len(lines)


def misplaced(lines: Sequence[str], line: int, first_line: int = 1) -> Misplaced:
    """What is wrong with line `line`.

    Args:
        lines: The text.
        line: The line that does not fit, counted from 0.
        first_line: The number of the first line in the file.
    """
    text = lines[line]
    depth = line_depth(text)
    name = field_name(text)
    shown = f'"{name}"' if name else f'"{text.strip()[:40]}"'
    item = _item_above(lines, line, depth)
    if item >= 0 and name and not text.lstrip().startswith("-"):
        sibling = field_name(lines[item]) or lines[item].strip()[:40]
        begins = item + first_line
        message = (
            f'{shown} stands below the "-" of the list item of line {begins}, not beside its fields'
        )
        hint = f'indent it by {depth + 2}, as far as "{sibling}", to make it a field of that item'
        return Misplaced(message, hint, Remedy.DEEPER)
    above = next((n for n in range(line - 1, -1, -1) if _is_content(lines[n])), -1)
    owner = lines[above].rstrip() if above >= 0 else ""
    if owner and line_depth(owner) < depth and not owner.endswith(":"):
        under = owner.strip()[:60]
        message = f"{shown} is indented under {under}, which is a text and has no fields"
        is_item = owner.lstrip().startswith("- ") and depth == line_depth(owner) + 2
        hint = (
            f"end that list item there, and move {shown} to where it belongs"
            if is_item
            else "indent it less"
        )
        return Misplaced(message, hint, Remedy.AS_ITEM if is_item and name else Remedy.LEAVE_OUT)
    if text.lstrip().startswith("- ") and line_depth(owner) == depth and field_name(owner):
        message = f'"{text.strip()[:40]}" is a list item among the fields of a mapping'
        hint = 'remove the "- ", or put it under a field that is a list'
        return Misplaced(message, hint, Remedy.LEAVE_OUT)
    words = " or ".join(str(level) for level in _levels_above(lines, line)) or "0"
    message = f"{shown} is indented by {depth}, but what is open here is indented by {words}"
    return Misplaced(message, "align it with the fields that it belongs to", Remedy.LEAVE_OUT)


def _levels_above(lines: Sequence[str], line: int) -> list[int]:
    """The depths of the lines that lead to `line` from above, the deepest first."""
    levels: list[int] = []
    for number in range(line - 1, -1, -1):
        depth = line_depth(lines[number])
        if not _is_content(lines[number]) or depth == line_depth(lines[line]):
            continue
        if not levels or depth < levels[-1]:
            levels.append(depth)
    return levels


def _item_above(lines: Sequence[str], line: int, depth: int) -> int:
    """The line of the nearest list item above whose dash is at `depth`, if no shallower line lies between."""
    for number in range(line - 1, -1, -1):
        above = lines[number]
        if not _is_content(above):
            continue
        if line_depth(above) < depth:
            return -1
        if line_depth(above) == depth:
            return number if above.lstrip().startswith("- ") else -1
    return -1
