"""One stretch of YAML text through libyaml, as far as it can be parsed."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from store.diagnostics import Diagnostic
from store.manifest.nodes import Builder, Node, TooLarge

__all__ = ["Failure", "Parsed", "parse"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Where reading had to stop. Lines and columns count from 0."""

    problem: str
    """libyaml's words, or ours for a bound."""
    line: int
    column: int
    context: str = ""
    """What libyaml was doing, in its words; `size` for a bound of ours, `character` for an illegal one."""
    context_line: int = -1
    context_column: int = -1


@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of one text: its documents, the problems within them, and where it stopped, if it did."""

    roots: list[Node]
    """The documents that were read to their end."""
    problems: list[tuple[int, Diagnostic]]
    """Each with the position in `roots` of its document; lines and columns count from 0."""
    failure: Failure | None


def parse(text: str, first_line: int = 1) -> Parsed:
    """Read every document of `text`, up to the first place that cannot be parsed.

    Args:
        text: A stretch of a file.
        first_line: The number of its first line in the file, for lines that messages name.
    """
    builder = Builder(first_line)
    failure = None
    try:
        events = yaml.CBaseLoader(text)
        while events.check_event():
            event = events.get_event()
            assert event is not None
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        failure = _failure(error)
    except yaml.reader.ReaderError as error:
        failure = _illegal_character(text, error)
    except TooLarge as error:
        failure = Failure(str(error), *error.place, context="size")
    return Parsed(builder.roots, builder.problems, failure)


def _failure(error: yaml.MarkedYAMLError) -> Failure:
    context = error.context_mark
    mark = error.problem_mark or context
    return Failure(
        problem=error.problem or "",
        line=mark.line if mark else 0,
        column=mark.column if mark else 0,
        context=error.context or "",
        context_line=context.line if context else -1,
        context_column=context.column if context else -1,
    )


def _illegal_character(text: str, error: yaml.reader.ReaderError) -> Failure:
    before = text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "replace")
    line = before.count("\n")
    column = len(before) - (before.rfind("\n") + 1)
    return Failure(str(error.reason), line, column, context="character")
