"""`meshd validate`: files judged, nothing written. Alone, or in the store's mesh as if applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshd.cli.reading import Reading
    from store.diagnostics import Diagnostic

__all__ = ["command"]


@verb(
    "validate",
    examples=(
        "meshd validate routes/ reviews.yaml",
        "meshd validate --live --fail-on warning routes/",
        "meshd validate -o github routes/               # annotations of a pull request",
    ),
)
@click.argument("arguments", nargs=-1, metavar="PATH...")
@click.option("-f", "--file", "paths", multiple=True, metavar="PATH", help="The same as PATH.")
@click.option("--live", is_flag=True, help="Judge them in the store's mesh, as if applied.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="The least level that makes the exit status 1 or 3.",
)
@output_option("text", "json", "github")
def command(
    session: Session, /, arguments: tuple[str, ...], paths: tuple[str, ...], **flags: Any
) -> int:
    """Check objects in files without writing anything.

    Every problem, with file, line and column, and what to do. The exit status is 3 when an object is invalid, and 1
    when all are valid but something else is found at the level of --fail-on.
    """
    from meshd.cli.analysing import analyse_as_if_applied, is_reached
    from meshd.cli.reading import errors, read

    places = [*arguments, *paths]
    if not places:
        raise click.UsageError("which files? For instance: meshd validate routes/")
    reading = read(session, places)
    invalid = errors(reading.diagnostics)
    found: list[Diagnostic] = []
    if flags["live"]:
        with session.store() as client:
            found = analyse_as_if_applied(session, client, reading)
    else:
        found = analyse_as_if_applied(session, None, reading)
    problems = sorted({*reading.diagnostics, *found})
    _say(session, reading, problems, flags["output"])
    if not flags["live"]:
        session.console.note(
            "not checked: what these objects refer to in the store (--live does), whether files of "
            "certificates exist on hosts, and whether endpoints answer"
        )
    if invalid:
        return exits.INVALID
    return exits.NO if is_reached(problems, flags["fail_on"]) else exits.OK


def _say(session: Session, reading: Reading, problems: Sequence[Diagnostic], form: str) -> None:
    """All problems on standard output: they are what was asked for."""
    from store.diagnostics import as_json, render, summary

    match form:
        case "json":
            from meshd.cli.forms import as_json_text

            session.console.say(as_json_text([as_json(problem) for problem in problems]))
        case "github":
            for problem in problems:
                session.console.say(_github(problem))
        case _:
            text = render(problems, reading.sources)
            if text:
                session.console.say_words(text.rstrip("\n"))
    count = len(reading.documents)
    objects = f"{count} object" if count == 1 else f"{count} objects"
    session.console.note(f"{objects}: {summary(problems, len(reading.sources))}")


def _github(problem: Diagnostic) -> str:
    """A workflow command that annotates the line in a pull request."""
    level = {"error": "error", "warning": "warning", "info": "notice"}[problem.level.value]
    place = (
        f"file={_escaped(problem.file)},line={max(problem.line, 1)},col={max(problem.column, 1)}"
    )
    subject = f"{problem.path}: " if problem.path else ""
    hint = f"\n{problem.hint}" if problem.hint else ""
    text = _escaped(f"{subject}{problem.message}{hint}", is_property=False)
    return f"::{level} {place},title={problem.code}::{text}"


def _escaped(text: str, *, is_property: bool = True) -> str:
    """As workflow commands want it: %, line breaks, and in properties also : and , are escaped."""
    marks = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    marks |= {":": "%3A", ",": "%2C"} if is_property else {}
    return "".join(marks.get(character, character) for character in text)
