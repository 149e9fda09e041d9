"""What every verb that writes shares: options, the transaction, the words about it, the wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshd.cli import exits
from meshd.cli.session import Session
from store.changes import ChangeSet
from store.etcd.client import EtcdClient
from store.history import Action

if TYPE_CHECKING:
    from meshd.cli.waiting import Target
    from store.commits import Authorship
    from store.etcd.publishing import Published
    from store.objects.mesh_config import HistorySettings

__all__ = ["Writing", "carry_out", "confirm", "target_of", "writing_options"]

Function = TypeVar("Function", bound=Callable[..., Any])

WAIT_S = 30.0
"""How long `--wait` waits unless told; convergence takes milliseconds, so this means trouble."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How a change set is to be written."""

    message: str = ""
    """Why, for history."""
    dry_run: bool = False
    """Only say what would happen."""
    batches: bool = False
    """Several transactions where one does not take it."""
    wait: bool = False
    """Return when every host of the mesh has it in force."""
    timeout_s: float = WAIT_S
    """How long to wait."""


def writing_options(function: Function) -> Function:
    """The options of `Writing`; the function gets them as `writing`."""
    for option in reversed(
        (
            click.option("-m", "--message", default="", help="Why, for `meshd history`."),
            click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing."),
            click.option(
                "--wait", is_flag=True, help="Return when every host of the mesh has it in force."
            ),
            click.option(
                *("--timeout", "timeout_s"),
                type=click.FloatRange(0.0, 3600.0, min_open=True),
                default=WAIT_S,
                show_default=True,
                metavar="SECONDS",
                help="How long --wait waits.",
            ),
        )
    ):
        function = option(function)
    return function


def carry_out(session: Session, client: EtcdClient, change_set: ChangeSet, writing: Writing) -> int:
    """Write the change set, say what was done to each object, and wait where that is asked for.

    Returns:
        The exit status: 1 when a host lags or has quarantined one of the objects.
    """
    from store.etcd.publishing import authorship

    if writing.dry_run:
        _say(session, change_set, " (dry run)")
        session.console.note("dry run: nothing was written")
        return exits.OK
    by = authorship(session.author, writing.message)
    try:
        published = _write(session, client, change_set, by, is_batched=writing.batches)
    except KeyboardInterrupt:
        session.console.warn(
            f"interrupted while writing: `meshd history` shows {by.change} if it was written"
        )
        raise
    status = exits.OK
    if writing.wait:
        from meshd.cli.waiting import wait_in_force

        target = target_of(client, change_set, published)
        status = wait_in_force(session, change_set, target, writing.timeout_s)
    _forget_history(session, client, change_set.namespaces)
    return status


def _write(
    session: Session, client: EtcdClient, change_set: ChangeSet, by: Authorship, *, is_batched: bool
) -> Published:
    """Write, and say each piece as it is done; returns the last one."""
    from store.etcd.publishing import publish, publish_in_batches

    if is_batched and change_set.effective:
        pieces = publish_in_batches(client, change_set, by)
    else:
        pieces = iter((publish(client, change_set, by),))
    last: Published | None = None
    for piece in pieces:
        last = piece
        _say(session, piece.change_set)
        if piece.change:
            told = " (the answer was lost; read back)" if piece.is_read_back else ""
            session.console.note(f"revision {piece.revision}, change {piece.change}{told}")
    assert last is not None, "there is at least one piece"
    return last


def target_of(client: EtcdClient, change_set: ChangeSet, published: Published) -> Target:
    """What `--wait` waits for: the revision that was written, or where all was so already, the newest of the objects.

    A sidecar never hears of revisions that changed other keys than the mesh's, so the revision of a reading is none
    that it could have in force.
    """
    from meshd.cli.waiting import Target
    from store.keys import FORMAT_KEY, absolute_key

    done = published.change_set.effective
    cluster_id = published.cluster_id
    if not cluster_id:
        prefix = client.settings.prefix
        cluster_id = client.keys_only(absolute_key(prefix, FORMAT_KEY)).cluster_id
    if not done:
        held = [one for one in change_set.changes if one.before is not None]
        if not held:
            return Target(0, cluster_id)
        revision, key = max((one.before.mod_revision, one.key) for one in held if one.before)
        return Target(revision, cluster_id, written=key)
    written = [one.key for one in done if one.after is not None]
    if written:
        return Target(published.revision, cluster_id, written=written[0])
    return Target(published.revision, cluster_id, deleted=done[0].key)


def _forget_history(session: Session, client: EtcdClient, namespaces: Sequence[str]) -> None:
    """Keep history within what the MeshConfig allows, in the namespaces just written to.

    What is done is done: where this cannot be, the next change does it.
    """
    from store.errors import MeshError
    from store.etcd.history import forget_expired

    try:
        kept = _history_settings(client) if namespaces else None
        for namespace in namespaces:
            assert kept is not None, "there are namespaces"
            gone = forget_expired(
                client, namespace, age_s_max=kept.max_age, kept_max=kept.max_changes
            )
            if gone:
                session.console.detail(
                    f"history of {namespace or 'the mesh'}: {len(gone)} forgotten"
                )
    except MeshError as problem:
        session.console.detail(f"history was not trimmed: {problem}")


def _history_settings(client: EtcdClient) -> HistorySettings:
    """What the MeshConfig says about history; the defaults where there is none, or it is invalid."""
    from store.codec import decode
    from store.keys import MESH_KEY, absolute_key
    from store.objects.mesh_config import HistorySettings, MeshConfig

    entry = client.get(absolute_key(client.settings.prefix, MESH_KEY))
    found = decode(MESH_KEY, entry.value).object if entry is not None else None
    return found.spec.history if isinstance(found, MeshConfig) else HistorySettings()


def confirm(session: Session, names: Sequence[str], *, is_agreed: bool, deed: str) -> None:
    """Ask a person before many objects go; without a terminal, `--yes` must have said so.

    Raises:
        click.UsageError: Nobody can be asked, and `--yes` is missing.
        click.Abort: The answer was no.
    """
    if is_agreed or len(names) <= 1:
        return
    if not session.console.is_interactive:
        raise click.UsageError(f"this would {deed} {len(names)} objects; say --yes to do so")
    for name in names:
        click.echo(name, err=True)
    click.confirm(f"{deed} these {len(names)} objects?", abort=True, err=True)


def _say(session: Session, change_set: ChangeSet, ending: str = "") -> None:
    for change in change_set.changes:
        if session.console.quiet and change.action is Action.UNCHANGED:
            continue
        session.console.say_words(f"{change.ref} {change.action}{ending}")
