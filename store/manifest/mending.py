"""What to make of text that is not YAML: name the fault, mend it as its author most likely meant it, read on.

Mended text is never stored; it only lets reading go on, so that all problems of a document show at once.
Every mend comes with an error, and every place in mended text can be led back to the original.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from store.diagnostics import Diagnostic, diagnose
from store.manifest.indentation import Remedy, block_end, field_name, line_depth, misplaced
from store.manifest.nodes import DEPTH_MAX, Place
from store.manifest.parsing import Failure

__all__ = ["MENDS_MAX", "Mending"]

MENDS_MAX = 40
"""Most faults named in one document; each costs one more pass over its text."""

_LINE_MAX = 10_000
_TOO_DEEP = "maximum nesting depth"
"""What libyaml says from 0.2.6 on, before we see the nesting; older ones hand it on, and `nodes` refuses it."""
"""Longer lines are not mended: they are no person's writing."""

_STAR = re.compile(r"\*[^\s,\[\]{}]*")
_COLON_WORD = re.compile(r"(?<=[\s,\[{])::[0-9a-fA-F:.]*(?=[\s,\]}])")
_FLOW_WORD = re.compile(r"[^\s,\[\]{}]+")
_ITEM_OR_FIELD = re.compile(
    r"(?P<indent> *)(?P<dashes>(?:- +)*)(?:(?P<key>[\w.\-/@]+|\"[^\"]*\"):(?: |$))?"
)
_REST = re.compile(r"(?P<value>.*?)(?P<comment>\s+#.*|\s*)$")
_FLOW_REST = re.compile(r"(?P<value>[^,\[\]{}]*?)(?=\s*(?:[,\[\]{}]|$))")
_INDENT = re.compile(r"[ \t]*")


class _Patch(NamedTuple):
    """One replacement within a line: from `column`, `removed` characters gave way to `added`."""

    line: int
    column: int
    removed: int
    added: int


class Mending:
    """The lines of one stretch of text while it is being mended.

    Args:
        lines: The original lines, without line ends.
        first_line: The number of the first of them in the file, for lines that messages name.
        kind: The kind of object that the text names, for hints; empty when unknown.
    """

    def __init__(self, lines: Sequence[str], first_line: int = 1, kind: str = "") -> None:
        self.lines = list(lines)
        self.problems: list[Diagnostic] = []
        """What was wrong; lines and columns count from 0, in the original text."""
        self._original = tuple(lines)
        self._first_line = first_line
        self._kind = kind
        self._patches: list[_Patch] = []
        self._quoted: set[int] = set()

    def original(self, place: Place) -> Place:
        """Where a place of the mended text lies in the original."""
        line, column = place
        for patch in reversed(self._patches):
            if patch.line == line and column > patch.column:
                if column >= patch.column + patch.added:
                    column += patch.removed - patch.added
                else:
                    column = min(column, patch.column + patch.removed)
        return line, column

    def mend(self, failure: Failure) -> bool:
        """Name the fault that stopped libyaml and mend it; False when nothing after it can be understood."""
        if failure.context == "size":
            self._report(
                "MESH0122", failure.problem, (failure.line, failure.column), "split the text"
            )
            return False
        if _TOO_DEEP in failure.problem:
            message = f"nested deeper than {DEPTH_MAX} levels"
            place = (failure.line, failure.column)
            self._report("MESH0122", message, place, "no field of the API lies so deep")
            return False
        line = failure.line
        if (
            line >= len(self.lines)
            or len(self.lines[line]) > _LINE_MAX
            or not self._remedied(failure)
        ):
            self._give_up(failure)
            return False
        return True

    def _remedied(self, failure: Failure) -> bool:
        """Name and mend a fault; False, and nothing is named, when there is no way."""
        line, column, problem = failure.line, failure.column, failure.problem
        if failure.context == "character":
            return self._illegal_character(line, column)
        if "scanning an alias" in failure.context:
            return self._star(failure.context_line, failure.context_column)
        if "cannot start any token" in problem:
            return self._tabs(line) or self._bad_start(line, column)
        if "tab character" in problem and self._tabs(line):
            return True
        if "unknown escape" in problem:
            return self._bad_escape(line, column)
        if "found unexpected ':'" in problem:
            return self._colons_in_flow(failure.context_line, failure.context_column)
        if "mapping values are not allowed" in problem:
            return self._second_colon(line, column) or self._wrong_indentation(line)
        if failure.context.startswith("while parsing a block"):
            return self._wrong_indentation(line)
        return self._quote_addresses(line)

    def _report(self, code: str, message: str, place: Place, hint: str) -> None:
        found = diagnose(code, message, hint=hint, place=self.original(place))
        self.problems.append(found)

    def _replace(self, line: int, column: int, removed: int, text: str) -> None:
        old = self.lines[line]
        self.lines[line] = old[:column] + text + old[column + removed :]
        self._patches.append(_Patch(line, column, removed, len(text)))

    def _star(self, line: int, column: int) -> bool:
        token = _STAR.match(self.lines[line], column)
        if token is None:
            return False
        word = token.group()
        quoted = f"'{word}'" if '"' in word or "\\" in word else f'"{word}"'
        mended = (self.lines[line][:column] + quoted + self.lines[line][token.end() :]).strip()
        message = f"{word} is not in quotes, and a plain * begins an alias in YAML"
        self._report("MESH0124", message, (line, column), f"write: {mended}")
        self._replace(line, column, len(word), quoted)
        return True

    def _illegal_character(self, line: int, column: int) -> bool:
        if column >= len(self.lines[line]):
            return False
        code = ord(self.lines[line][column])
        self._report("MESH0131", f"control character U+{code:04X}", (line, column), "remove it")
        for number, text in enumerate(self.lines):
            self.lines[number] = "".join(
                c if c.isprintable() or c == "\t" else "\ufffd" for c in text
            )
        return True

    def _bad_start(self, line: int, column: int) -> bool:
        text = self.lines[line]
        if column >= len(text) or text[column] == "\t":
            return False
        return self._quote_rest(
            line, column, f"a value cannot begin with {text[column]} outside quotes"
        )

    def _tabs(self, line: int) -> bool:
        """Name the first line that is indented with tabs, and mend all of them."""
        found = [
            (number, indent.group())
            for number, text in enumerate(self.lines)
            if (indent := _INDENT.match(text)) is not None
            and "\t" in indent.group()
            and text.strip()
        ]
        if not found or found[0][0] > line:
            return False
        more = f" (and in {len(found) - 1} more lines)" if len(found) > 1 else ""
        place = (found[0][0], found[0][1].index("\t"))
        self._report("MESH0125", f"tab in the indentation{more}", place, "indent with spaces")
        for number, indent_text in found:
            self._replace(number, 0, len(indent_text), indent_text.replace("\t", "  "))
        return True

    def _quote_rest(self, line: int, column: int, message: str) -> bool:
        if line in self._quoted:
            return False
        self._quoted.add(line)
        text = self.lines[line]
        before = text[:column]
        in_flow = before.count("{") + before.count("[") > before.count("}") + before.count("]")
        rest = (_FLOW_REST if in_flow else _REST).match(text, column)
        value = rest.group("value") if rest else ""
        if not value:
            return False
        quoted = "'" + value.replace("'", "''") + "'"
        mended = (before + quoted + text[column + len(value) :]).strip()
        self._report("MESH0133", message, (line, column), f"write: {mended}")
        self._replace(line, column, len(value), quoted)
        return True

    def _bad_escape(self, line: int, column: int) -> bool:
        text = self.lines[line]
        at = text.find("\\", column)
        if at < 0 or at + 1 >= len(text):
            return False
        message = f"\\{text[at + 1]} is no escape in a text in double quotes"
        hint = "put the text in single quotes, where a backslash stands for itself, or write \\\\"
        self._report("MESH0133", message, (line, at), hint)
        self._replace(line, at, 1, "\\\\")
        return True

    def _colons_in_flow(self, line: int, column: int) -> bool:
        """`[::1, 2001:db8::2]`: legal in YAML 1.2, but not to libyaml; read as meant, without a word."""
        token = _FLOW_WORD.match(self.lines[line], column)
        if token is None or "'" in token.group():
            return False
        self._replace(line, column, len(token.group()), f"'{token.group()}'")
        return True

    def _quote_addresses(self, line: int) -> bool:
        """`[::1, ::2]` once more, where libyaml sees the key of a mapping in the first colon."""
        found = _COLON_WORD.search(self.lines[line])
        if found is None:
            return False
        self._replace(line, found.start(), len(found.group()), f"'{found.group()}'")
        return True

    def _second_colon(self, line: int, column: int) -> bool:
        """`key: some: text`: the value holds a colon and a space, so it needs quotes."""
        text = self.lines[line]
        field = _ITEM_OR_FIELD.match(text)
        if field is None or field.group("key") is None or field.end() > column:
            return False
        message = 'the value holds ": ", which begins a new field in YAML'
        return self._quote_rest(line, field.end(), message)

    def _wrong_indentation(self, start: int) -> bool:
        """A line at a depth that nothing is open at."""
        if not self.lines[start].strip():
            return False
        fault = misplaced(self.lines, start, self._first_line)
        depth = line_depth(self.lines[start])
        home = self._home_hint(field_name(self.lines[start]))
        hint = fault.hint if fault.remedy is Remedy.DEEPER else home or fault.hint
        self._report("MESH0128", fault.message, (start, depth), hint)
        if fault.remedy is Remedy.AS_ITEM:
            self._replace(start, depth - 2, 2, "- ")
            return True
        for number in range(start, block_end(self.lines, start)):
            if fault.remedy is Remedy.DEEPER and self.lines[number].strip():
                self._replace(number, 0, 0, "  ")
            else:
                self.lines[number] = ""
        return True

    def _home_hint(self, name: str) -> str:
        if not name or not self._kind:
            return ""
        # Only this path needs the models, which are slow to load.
        from store.validation.shape import home_hint

        return home_hint(self._kind, name)

    def _give_up(self, failure: Failure) -> None:
        line, column = failure.line, failure.column
        hint = "correct this place; what follows in this document was not read"
        message = failure.problem or "not valid YAML"
        if failure.context:
            message = f"{failure.context}: {message}"
        if "quoted scalar" in failure.context:
            line, column = failure.context_line, failure.context_column
            message = "the quote that opens here is never closed"
        elif "flow" in failure.context and "did not find expected" in failure.problem:
            closing, what = ("]", "list") if "sequence" in failure.context else ("}", "mapping")
            opened = failure.context_line + self._first_line
            message = f'"," or "{closing}" is missing here (the {what} opens in line {opened})'
        if line >= len(self._original):
            line = max(0, len(self._original) - 1)
            column = len(self._original[line]) if self._original else 0
        self._report("MESH0123", message, (line, column), hint)
