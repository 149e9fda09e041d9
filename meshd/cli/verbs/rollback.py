"""`meshd rollback`: what a change overwrote comes back, as a new change that history records like any other."""

from __future__ import annotations

from typing import Any

import click

from meshd.cli.changing import Writing, carry_out, writing_options
from meshd.cli.options import verb
from meshd.cli.session import Session

__all__ = ["command"]


@verb(
    "rollback",
    examples=(
        "meshd rollback 20261123T041914.180963Z-7aa90d",
        "meshd rollback 20261123T041914.180963Z-7aa90d --dry-run",
        "meshd rollback 20261123T041914.180963Z-7aa90d --wait -m 'errors in v2'",
    ),
)
@click.argument("change")
@click.option("--force", is_flag=True, help="Overwrite also what was changed since.")
@writing_options
def command(session: Session, /, change: str, force: bool, **flags: Any) -> int:
    """Bring back what a change overwrote, as a new change.

    `meshd history` lists the changes. Refused, with the newer versions shown, when an object was changed since.
    """
    from store.changes import plan_rollback
    from store.etcd.history import read_change
    from store.etcd.publishing import read_current

    writing = Writing(
        message=flags["message"] or f"rollback of {change}",
        dry_run=flags["dry_run"],
        wait=flags["wait"],
        timeout_s=flags["timeout_s"],
    )
    with session.store() as client:
        records = read_change(client, change, namespace=session.namespace_given)
        keys = [one.key for record in records for one in record.overwrote]
        current = read_current(client, keys)
        change_set = plan_rollback(records, current.entries, revision=current.revision, force=force)
        return carry_out(session, client, change_set, writing)
