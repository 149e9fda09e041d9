"""What each check says, by transcript.

    alone     the objects as files, nothing else known
    mesh      forget all, then store the objects
    put       the objects as files over what is stored
    part      the same, where what is stored is only what the writer may read
    stored    what is wrong in what is stored

Each line is an object, `Kind namespace/name: SPEC` in YAML's flow style; lines that begin with a space go on with
the one before. `host NAME: [WORKLOAD, ...]` is what a host registers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from meshd.analysis import analyze, given_twice, written_document
from store.diagnostics import CODES, Diagnostic
from store.manifest import Manifest, read_text
from store.objects.kinds import KINDS, kind_named
from tests.harness.catalogs import Store
from tests.harness.transcripts import Command, check_transcript

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts" / "checks").glob("*.txt"))


def objects_of(command: Command) -> list[str]:
    """One line for each object."""
    joined: list[str] = []
    for line in command.lines:
        if line.startswith(" "):
            joined[-1] += line
        else:
            joined.append(line)
    return joined


def document_of(line: str) -> str:
    """The object of a line as YAML, its specification on the fifth line."""
    head, _, spec = line.partition(": ")
    word, _, place = head.partition(" ")
    kind = kind_named(word)
    assert kind is not None, line
    namespace, _, name = place.partition("/")
    where = f"namespace: {namespace}, " if namespace else ""
    version = KINDS[kind].api_versions[0]
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{{where}name: {name}}}\nspec: {spec}\n"


def registration_of(line: str) -> dict[str, object]:
    """What a host registers."""
    head, _, workloads = line.partition(": ")
    name = head.split()[1]
    fixed = {"apiVersion": "meshd.io/v1", "kind": "HostRegistration", "host": name}
    return {**fixed, "address": "10.0.0.1", "workloads": yaml.safe_load(workloads)}


def as_files(lines: list[str]) -> Manifest:
    """The objects, each in a file named after its place: `1.yaml`, `2.yaml`."""
    manifest = Manifest()
    for number, line in enumerate(lines, 1):
        manifest += read_text(document_of(line), f"{number}.yaml")
    return manifest


class Runner:
    """Runs the commands of one transcript over a store of its own."""

    def __init__(self) -> None:
        self.store = Store()

    def __call__(self, command: Command) -> str:
        """What one command prints."""
        lines = objects_of(command)
        match command.verb:
            case "mesh":
                self.store = Store()
                for line in lines:
                    is_host = line.startswith("host ")
                    one = registration_of(line) if is_host else yaml.safe_load(document_of(line))
                    self.store.put([one])
                return "stored"
            case "alone" | "put" | "part":
                documents = as_files(lines).documents
                written = [w for document in documents if (w := written_document(document))]
                stored = None if command.verb == "alone" else self.store.catalog
                found = analyze(written, stored, is_whole=command.verb != "part")
                return said([*found, *given_twice(documents, "default")])
            case "stored":
                return said(analyze((), self.store.catalog))
        raise AssertionError(command.where)


def said(problems: list[Diagnostic]) -> str:
    """Two lines for each problem: what, and the hint."""
    lines = []
    for one in sorted(problems):
        lines.append(f"{one.level} {one.code} {one.object} {one.path}: {one.message}")
        lines += [f"    {hint}" for hint in one.hint.splitlines()]
    return "\n".join(lines) or "fine"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, rewrite: bool) -> None:
    run: Callable[[Command], str] = Runner()
    check_transcript(path, run, rewrite=rewrite)


def test_every_code_of_the_analysis_is_raised_in_a_transcript() -> None:
    raised = "".join(path.read_text() for path in TRANSCRIPTS)
    wanted = [code for code in CODES if "MESH0200" <= code < "MESH0290"]
    assert [code for code in wanted if f" {code} " not in raised] == []
