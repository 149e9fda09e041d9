"""`meshd diff`: what `put` of the same files would change, as a unified diff of YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.options import verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from store.changes import Change

__all__ = ["command"]


@verb(
    "diff",
    examples=(
        "meshd diff -f reviews.yaml",
        "meshd diff -f routes/ || echo 'not applied yet'",
        "meshd get vs reviews -o yaml | sed s/90/80/ | meshd diff -f -",
    ),
)
@click.option(
    *("-f", "--file", "paths"),
    multiple=True,
    required=True,
    metavar="PATH",
    help="File, folder (with all below it), or - for standard input.",
)
def command(session: Session, /, paths: tuple[str, ...]) -> int:
    """Show what putting files would change.

    The exit status is 1 when something would change, 0 when nothing would.
    """
    from meshd.cli.reading import read, refuse_errors
    from store.changes import plan_put
    from store.etcd.publishing import read_current
    from store.history import Action
    from store.keys import object_key

    reading = read(session, paths)
    refuse_errors(session, reading, "nothing was compared")
    with session.store() as client:
        current = read_current(client, [object_key(ref) for ref in reading.refs])
    change_set = plan_put(
        (document.value for document in reading.documents),
        current.entries,
        revision=current.revision,
        default_namespace=session.namespace,
    )
    for change in change_set.changes:
        if change.action is not Action.UNCHANGED:
            for line in _lines(change):
                session.console.say(_painted(line))
    return exits.NO if change_set.effective else exits.OK


def _lines(change: Change) -> Iterator[str]:
    """The unified diff of one object."""
    before = change.before
    old = f"{change.ref}@{before.mod_revision}" if before else "/dev/null"
    return difflib.unified_diff(
        _text(change.key, before.value if before else None),
        _text(change.key, change.after),
        old,
        str(change.ref),
        lineterm="",
    )


def _text(key: str, value: bytes | None) -> list[str]:
    """A value as lines of YAML in the order in which it is stored; one that is no object as it is."""
    from meshd.cli.forms import as_yaml
    from store.codec import decode

    if value is None:
        return []
    document: Mapping[str, Any] | None = decode(key, value).document
    text = (
        value.decode(errors="backslashreplace")
        if document is None
        else as_yaml([_sorted(document)])
    )
    return text.splitlines()


def _sorted(value: Any) -> Any:
    """Mappings with their keys in order, so that another order is no difference."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _painted(line: str) -> str:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return click.style(line, fg=colours[line[0]]) if line[:1] in colours else line
