"""`meshd put`: files into the mesh. All is read and judged first; then one transaction writes all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.changing import Writing, carry_out, confirm, writing_options
from meshd.cli.names import parse_labels
from meshd.cli.options import verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from meshd.cli.reading import Reading
    from store.etcd.client import EtcdClient

__all__ = ["command", "put"]


@verb(
    "put",
    examples=(
        "meshd put -f reviews.yaml",
        "meshd put -f routes/ -m 'canary to 10 %' --wait",
        "meshd put -n shop -f shop/ --prune --dry-run",
    ),
)
@click.option(
    *("-f", "--file", "paths"),
    multiple=True,
    required=True,
    metavar="PATH",
    help="File, folder (with all below it), or - for standard input.",
)
@click.option("--prune", is_flag=True, help="Delete what -n or -l chooses and no file has.")
@click.option("-l", "--labels", "selectors", multiple=True, metavar="A=B", help="For --prune.")
@click.option("--batches", is_flag=True, help="Several transactions, if one cannot take it all.")
@click.option("--yes", is_flag=True, help="Do not ask before --prune deletes several.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    help="Write nothing when the analysis of the mesh as it would be finds such.",
)
@click.option("--no-analysis", is_flag=True, help="Look at each object alone: faster.")
@writing_options
def command(session: Session, /, paths: tuple[str, ...], **flags: Any) -> int:
    """Write objects from files into the mesh, all of them or none.

    Prints what was created, configured or left unchanged. An object that carries resourceVersion is written only
    over that version.
    """
    writing = Writing(
        message=flags["message"],
        dry_run=flags["dry_run"],
        batches=flags["batches"],
        wait=flags["wait"],
        timeout_s=flags["timeout_s"],
    )
    labels = parse_labels(flags["selectors"])
    if labels and not flags["prune"]:
        raise click.UsageError("-l chooses what --prune may delete; it needs --prune")
    if flags["prune"] and not labels and session.namespace_given is None:
        raise click.UsageError(
            "--prune needs -n NAMESPACE or -l NAME=VALUE, or it would empty the mesh"
        )
    return put(
        session,
        paths,
        writing,
        prune=(session.namespace_given, labels) if flags["prune"] else None,
        is_agreed=flags["yes"],
        fail_on="" if flags["no_analysis"] else flags["fail_on"] or "never",
    )


def put(
    session: Session,
    paths: Sequence[str],
    writing: Writing,
    *,
    prune: tuple[str | None, dict[str, str]] | None = None,
    is_agreed: bool = False,
    fail_on: str = "never",
) -> int:
    """See the command; `prune` is the namespace and labels of what may be deleted.

    Raises:
        InputError: Something is wrong with an object.
        MeshError: The analysis finds what `fail_on` names.
        ConflictError: Somebody else wrote first.
    """
    from meshd.cli.reading import read, refuse_errors
    from store.changes import plan_put

    reading = read(session, paths)
    refuse_errors(session, reading, "nothing was written")
    if not reading.documents:
        session.console.note("no object of the mesh in these files; nothing was written")
        return exits.OK
    with session.store() as client:
        doomed = _prunable(client, prune)
        if fail_on:
            _analyse(session, client, reading, fail_on)
        from store.etcd.publishing import read_current
        from store.keys import object_key

        keys = {object_key(ref) for ref in reading.refs}
        current = read_current(client, keys | set(doomed))
        change_set = plan_put(
            (document.value for document in reading.documents),
            current.entries,
            revision=current.revision,
            default_namespace=session.namespace,
            prune=doomed,
        )
        if not writing.dry_run:
            gone = [str(change.ref) for change in change_set.effective if change.after is None]
            confirm(session, gone, is_agreed=is_agreed, deed="delete")
        return carry_out(session, client, change_set, writing)


def _prunable(
    client: EtcdClient, prune: tuple[str | None, dict[str, str]] | None
) -> Collection[str]:
    """Relative keys that may be deleted."""
    if prune is None:
        return ()
    from dataclasses import replace

    from store.changes import prunable
    from store.keys import absolute_key

    namespace, labels = prune
    folder = "ns" if namespace is None else f"ns/{namespace}"
    listing = client.list_prefix(absolute_key(client.settings.prefix, folder))
    entries = [replace(entry, key=f"{folder}/{entry.key}") for entry in listing.entries]
    return set(prunable(entries, namespace=namespace, labels=labels))


def _analyse(session: Session, client: EtcdClient, reading: Reading, fail_on: str) -> None:
    """Say what the analysis finds about these objects, in the mesh as it would be.

    Raises:
        MeshError: It finds what `fail_on` names.
    """
    from meshd.cli.analysing import analyse_as_if_applied, is_reached
    from store.diagnostics import render, summary
    from store.errors import MeshError
    from store.etcd.failures import StoreDenied

    try:
        found = analyse_as_if_applied(session, client, reading)
    except StoreDenied as denied:
        session.console.note(
            f"not analysed: this account may not read the whole mesh ({denied.message})"
        )
        return
    if not found:
        return
    told = summary(found, len(reading.sources))
    is_refused = is_reached(found, fail_on)
    if is_refused or not session.console.quiet:
        session.console.warn(render(found, reading.sources))
    if is_refused:
        raise MeshError(f"{told}; nothing was written (--fail-on {fail_on})")
    session.console.note(
        f"{told}, in the mesh as it would be; put goes on (--fail-on error would stop it)"
    )
