"""The rules for one object: what each kind's rules say, and what is said about texts that cannot be read.

check KIND [name=NAME] [namespace=NAMESPACE]     the lines are the spec; prints level, code, path, message
object                                           the lines are a whole object
text                                             the lines are a file; prints places and hints as well
"""

from __future__ import annotations

from pathlib import Path

import pytest

from store.diagnostics import CODES, Diagnostic, render
from store.manifest import read_text
from store.objects.kinds import KINDS, kind_named
from store.validation import check_document
from tests.harness.transcripts import Command, check_transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))

WITHOUT_TRANSCRIPT = {
    "MESH0120": "tests/store/test_manifest.py: files",
    "MESH0121": "tests/store/test_manifest.py: files",
    "MESH0122": "tests/store/test_manifest.py: bounds",
    "MESH0131": "tests/store/test_manifest.py: control characters",
    "MESH0132": "tests/store/test_manifest.py: files",
    "MESH0328": "tests/store/validation/test_check.py: bodies",
    "MESH0339": "tests/store/validation/test_check.py: bodies",
}


def run(command: Command) -> str:
    """Run one command of a transcript."""
    text = "\n".join(command.lines)
    if command.verb == "check":
        kind = kind_named(command.words[0])
        assert kind is not None, command.where
        metadata = f"name: {command.option('name', 'x')}"
        if command.option("namespace"):
            metadata += f", namespace: {command.option('namespace')}"
        head = f"apiVersion: {KINDS[kind].api_versions[0]}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec:\n"
        text = head + "\n".join(f"  {line}" for line in command.lines)
    manifest = read_text(text, "f")
    problems = list(manifest.diagnostics)
    for document in manifest.documents:
        problems += check_document(document)
    if command.verb == "text":
        return render(problems, manifest.sources) or "fine"
    return "\n".join(brief(problem) for problem in sorted(set(problems))) or "fine"


def brief(problem: Diagnostic) -> str:
    """One line without place and hint."""
    where = f"{problem.path}: " if problem.path else ""
    return f"{problem.level} {problem.code} {where}{problem.message}"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, rewrite: bool) -> None:
    check_transcript(path, run, rewrite=rewrite)


def test_every_code_of_reading_and_rules_is_raised_in_a_transcript() -> None:
    raised = "".join(path.read_text() for path in TRANSCRIPTS)
    wanted = [code for code in CODES if code.startswith(("MESH01", "MESH029", "MESH03"))]
    missing = [code for code in wanted if f" {code} " not in raised]
    assert missing == sorted(WITHOUT_TRANSCRIPT)
