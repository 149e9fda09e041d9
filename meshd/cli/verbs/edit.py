"""`meshd edit`: objects into an editor and back. What is wrong stands as comments at its line; nothing is lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.changing import Writing, carry_out, writing_options
from meshd.cli.completing import complete_names
from meshd.cli.names import select
from meshd.cli.options import verb
from meshd.cli.session import Session
from store.errors import ConflictError, InputError

if TYPE_CHECKING:
    from meshd.cli.reading import Reading
    from meshd.cli.stored import Stored
    from store.etcd.client import EtcdClient

__all__ = ["annotated", "command", "plain"]

MARK = "#!"
"""Comments of ours begin so; they are taken out before the text is read again."""


@verb(
    "edit",
    examples=("meshd edit vs reviews", "EDITOR='code --wait' meshd edit vs/reviews dr/reviews"),
)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="KIND NAME... | KIND/NAME...",
    shell_complete=complete_names,
)
@writing_options
def command(session: Session, /, names: tuple[str, ...], **flags: Any) -> int:
    """Edit objects in your editor and write them back.

    The editor is MESHD_EDITOR, VISUAL, EDITOR or vi. When the text is invalid, it is opened again with the errors as
    comments; saved once more without a change, it is kept in a file and nothing is written.
    """
    from meshd.cli.forms import as_yaml
    from meshd.cli.stored import read_selection

    selection = select(names, session.namespace)
    if not selection.refs:
        raise click.UsageError("name the objects: KIND NAME, or KIND/NAME")
    writing = Writing(
        message=flags["message"],
        dry_run=flags["dry_run"],
        wait=flags["wait"],
        timeout_s=flags["timeout_s"],
    )
    with session.store() as client:
        found = read_selection(client, selection, None, {})
        text = as_yaml([_editable(one) for one in found])
        file = _new_file(_HEADER + text, session.environment.get("TMPDIR"))
        kept = False
        try:
            reading = _edited(session, file, found, _HEADER + text)
            if reading is None:
                session.console.note("no change; nothing was written")
                return exits.OK
            return _write(session, client, reading, writing)
        except (InputError, ConflictError) as problem:
            kept = _was_changed(file, text)
            if not kept:
                raise
            told = f"Your text is kept in {file}; `meshd put -f {file}` tries it again"
            problem.hint = f"{problem.hint}. {told}" if problem.hint else told
            raise
        finally:
            if not kept:
                os.unlink(file)


_HEADER = f"""\
{MARK} Save and leave the editor to write this back; without a change nothing is written.
{MARK} resourceVersion guards against a change that somebody else makes meanwhile.
"""


def annotated(text: str, problems: Sequence[Any]) -> str:
    """The text with each problem as comments below its line."""
    below: dict[int, list[str]] = {}
    for problem in problems:
        subject = f"{problem.path}: " if problem.path else ""
        said = [f"{problem.level} {problem.code} {subject}{problem.message}"]
        said += [f"  {line}" for line in problem.hint.splitlines()]
        below.setdefault(problem.line, []).extend(f"{MARK} {line}" for line in said)
    lines = text.splitlines()
    out = below.pop(0, [])
    for number, line in enumerate(lines, 1):
        out += [line, *below.pop(number, [])]
    return "\n".join([*out, *(line for rest in below.values() for line in rest)]) + "\n"


def plain(text: str) -> str:
    """The text without our comments."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


def _edited(session: Session, file: str, found: Sequence[Stored], before: str) -> Reading | None:
    """What the person made of it, valid; None when nothing was changed.

    Raises:
        InputError: The person gave up on a text that is invalid.
    """
    from meshd.cli.reading import errors, read
    from store.diagnostics import summary

    original = plain(before)
    while True:
        _open_editor(session, file)
        text = plain(_content(file))
        if text == original or not text.strip():
            return None
        _overwrite(file, text)
        reading = read(session, [file])
        problems = errors(reading.diagnostics)
        moved = _identity_problem(reading, found) if not problems else ""
        if not problems and not moved:
            return reading
        shown = annotated(text, problems) if problems else f"{MARK} error {moved}\n{text}"
        if text == plain(before) or shown == before:
            reason = moved or summary(problems)
            raise InputError(f"{reason}; nothing was written", diagnostics=problems)
        before = shown
        _overwrite(file, shown)


def _identity_problem(reading: Reading, found: Sequence[Stored]) -> str:
    """What is wrong when the text names other objects than were opened; empty when nothing is."""
    strangers = [str(ref) for ref in reading.refs if ref not in {one.ref for one in found}]
    if strangers:
        return (
            f"{', '.join(strangers)}: kind, namespace and name cannot be edited; use put and delete"
        )
    return ""


def _write(session: Session, client: EtcdClient, reading: Reading, writing: Writing) -> int:
    from meshd.cli.reading import say
    from store.changes import plan_put
    from store.etcd.publishing import read_current
    from store.keys import object_key

    say(session, reading)
    current = read_current(client, [object_key(ref) for ref in reading.refs])
    change_set = plan_put(
        (document.value for document in reading.documents),
        current.entries,
        revision=current.revision,
    )
    return carry_out(session, client, change_set, replace(writing))


def _editable(one: Stored) -> dict[str, Any]:
    shown = one.shown()
    shown.pop("status", None)
    return shown


def _open_editor(session: Session, file: str) -> None:
    """Run the editor and wait for it.

    Raises:
        InputError: It cannot be started, or ended with an error; nothing was written.
    """
    names = ("MESHD_EDITOR", "VISUAL", "EDITOR")
    editor = next((told for name in names if (told := session.environment.get(name))), "vi")
    try:
        words = [*shlex.split(editor), file]
        status = subprocess.run(words, check=False).returncode
    except (OSError, ValueError) as problem:
        raise InputError(
            f'the editor "{editor}" cannot be started: {problem}', hint="Set EDITOR to one that can"
        ) from problem
    if status:
        raise InputError(f'the editor "{editor}" ended with status {status}; nothing was written')


def _was_changed(file: str, original: str) -> bool:
    """Whether the person has put work into the text that must not be lost; yes where it cannot be read."""
    try:
        return plain(_content(file)) != original
    except InputError:
        return True


def _new_file(text: str, folder: str | None) -> str:
    handle, name = tempfile.mkstemp(prefix="meshd-edit-", suffix=".yaml", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    return name


def _overwrite(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def _content(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{file}: cannot be read back: {problem}") from problem
