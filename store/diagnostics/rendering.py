"""Problems as text for people and as JSON for programs; both have the same fields.

    reviews.yaml:9:7: error MESH0102 spec.http[0].route[0].wieght: unknown field
        9 |       wieght: 75
          |       ^^^^^^ did you mean "weight"?

The source line and the caret are left out where the text is not at hand (stored objects, for instance).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from store.diagnostics.code import Level
from store.diagnostics.problem import Diagnostic

__all__ = ["as_json", "render", "summary"]

_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^\s,\[\]{}:#]+(?::[^\s,\[\]{}]+)*|.")
"""What a caret underlines: a quoted text, a plain word (with colons inside, as in `12:30`), or one character."""

_SOURCE_WIDTH = 160
"""Longer source lines are cut: they are JSON on one line, and a terminal would wrap them."""


def render(
    problems: Iterable[Diagnostic], sources: Mapping[str, Sequence[str]] | None = None
) -> str:
    """All problems, sorted by position, each with its source line and a caret where the text is known.

    Args:
        problems: What to show.
        sources: The lines of each file, for the files whose text is at hand.

    Returns:
        Text that ends in a line feed; empty when there are no problems.
    """
    lines: list[str] = []
    for problem in sorted(set(problems)):
        lines += _one(problem, (sources or {}).get(problem.file, ()))
    return "".join(f"{line}\n" for line in lines)


def as_json(problem: Diagnostic) -> dict[str, str | int]:
    """The problem as a JSON object with the fields that `render` shows."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "code": problem.code,
        "level": problem.level.value,
        "message": problem.message,
        "hint": problem.hint,
        "object": problem.object,
    }


def summary(problems: Iterable[Diagnostic], files: int = 0) -> str:
    """One line such as `2 errors, 1 warning in 1 file`; infos are counted as notes.

    Args:
        problems: What was found.
        files: How many files were read; 0 to count those that have problems.
    """
    found = sorted(set(problems))
    count = Counter(problem.level for problem in found)
    files = files or len({problem.file for problem in found})
    parts = [
        _counted(count[level], word)
        for level, word in (
            (Level.ERROR, "error"),
            (Level.WARNING, "warning"),
            (Level.INFO, "note"),
        )
        if count[level]
    ]
    return f"{', '.join(parts) or 'no problems'} in {_counted(files, 'file')}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _one(problem: Diagnostic, source: Sequence[str]) -> list[str]:
    where = ":".join(
        str(part) for part in (problem.file, problem.line, problem.column) if part not in ("", 0)
    )
    subject = problem.path or ("" if where else problem.object)
    head = f"{where}: " if where else ""
    head += f"{problem.level.value} {problem.code} "
    head += f"{subject}: {problem.message}" if subject else problem.message
    hints = problem.hint.splitlines()
    if not 0 < problem.line <= len(source):
        return [head, *(f"    {hint}" for hint in hints)]
    text, column = _window(source[problem.line - 1], max(problem.column, 1) - 1)
    number = f"{problem.line:5}"
    margin = " " * len(number)
    pad = re.sub(r"[^\t]", " ", text[:column])
    token = _TOKEN.match(text, column)
    carets = "^" * max(1, len(token.group()) if token else 1)
    lines = [
        head,
        f"{number} | {text}",
        f"{margin} | {pad}{carets} {hints[0] if hints else ''}".rstrip(),
    ]
    return lines + [f"{margin} | {pad}{hint}".rstrip() for hint in hints[1:]]


def _window(text: str, column: int) -> tuple[str, int]:
    """The part of a long line around `column`, and where that is in it; control characters become dots."""
    text = "".join(c if c.isprintable() or c == "\t" else "·" for c in text)
    if len(text) <= _SOURCE_WIDTH:
        return text, min(column, len(text))
    start = max(0, min(column - _SOURCE_WIDTH // 2, len(text) - _SOURCE_WIDTH))
    return text[start : start + _SOURCE_WIDTH], min(column, len(text)) - start
