"""`meshd delete`: objects by name, by file or by label; one transaction, and history keeps what they were."""

from __future__ import annotations

from typing import Any

import click

from meshd.cli.changing import Writing, carry_out, confirm, writing_options
from meshd.cli.completing import complete_names
from meshd.cli.names import parse_labels, select
from meshd.cli.options import verb
from meshd.cli.session import Session
from store.objects.kinds import ObjectRef

__all__ = ["command"]


@verb(
    "delete",
    examples=(
        "meshd delete vs reviews",
        "meshd delete -f routes/ --ignore-not-found",
        "meshd delete all -n shop -l release=canary --yes",
    ),
)
@click.argument(
    "names", nargs=-1, metavar="KIND NAME... | KIND/NAME...", shell_complete=complete_names
)
@click.option(
    "-f", "--file", "paths", multiple=True, metavar="PATH", help="Objects of these files."
)
@click.option(
    "-l", "--labels", "selectors", multiple=True, metavar="A=B", help="Objects so labelled."
)
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces (with -l).")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is as good as deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before several go.")
@writing_options
def command(
    session: Session, /, names: tuple[str, ...], paths: tuple[str, ...], **flags: Any
) -> int:
    """Delete objects from the mesh.

    By name, or all that files name, or all of a kind that carry labels.
    """
    from store.changes import plan_delete
    from store.etcd.publishing import read_current
    from store.keys import object_key

    if bool(names) == bool(paths):
        raise click.UsageError("name objects (KIND NAME), or files with -f")
    writing = Writing(
        message=flags["message"],
        dry_run=flags["dry_run"],
        wait=flags["wait"],
        timeout_s=flags["timeout_s"],
    )
    with session.store() as client:
        refs = _of_files(session, paths) if paths else _named(session, client, names, flags)
        keys = [object_key(ref) for ref in refs]
        current = read_current(client, keys)
        change_set = plan_delete(
            keys,
            current.entries,
            revision=current.revision,
            ignore_absent=flags["ignore_not_found"],
        )
        if not change_set.changes:
            session.console.note("nothing to delete")
        by_name = bool(paths) or "/" in names[0] or len(names) > 1
        if not writing.dry_run and not by_name:
            gone = [str(change.ref) for change in change_set.changes]
            confirm(session, gone, is_agreed=flags["yes"], deed="delete")
        return carry_out(session, client, change_set, writing)


def _of_files(session: Session, paths: tuple[str, ...]) -> tuple[ObjectRef, ...]:
    """The objects that files name; they need be no more valid than to have a kind and a name."""
    from meshd.cli.reading import read, refuse_errors

    reading = read(session, paths)
    refuse_errors(session, reading, "nothing was deleted")
    return tuple(dict.fromkeys(reading.refs))


def _named(
    session: Session, client: Any, names: tuple[str, ...], flags: dict[str, Any]
) -> tuple[ObjectRef, ...]:
    """The objects that words and labels mean."""
    from meshd.cli.stored import read_kinds

    selection = select(names, session.namespace)
    labels = parse_labels(flags["selectors"])
    if selection.refs:
        if labels:
            raise click.UsageError("name objects, or choose them with -l; not both")
        return selection.refs
    if not labels:
        raise click.UsageError("which objects? Name them, or choose them with -l NAME=VALUE")
    namespace = None if flags["all_namespaces"] else session.namespace
    found = read_kinds(client, selection.kinds, namespace)
    return tuple(one.ref for one in found if labels.items() <= one.labels.items())
