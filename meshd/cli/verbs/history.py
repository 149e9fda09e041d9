"""`meshd history`: who changed what, when and why; and what one change overwrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.names import select
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from store.etcd.client import EtcdClient
    from store.history import HistoryRecord, Overwritten

__all__ = ["command"]

_CHANGE_ID = re.compile(r"\d{8}T[\d.]+Z-\S+")
_SEARCHED_MAX = 2_000
"""Records searched for one object before it is said that older ones were not."""
_OBJECTS_SHOWN = 3
"""Objects of a change named in a row of the table; -o wide names all."""


@verb(
    "history",
    examples=(
        "meshd history",
        "meshd history vs/reviews",
        "meshd history 20261123T041914.180963Z-7aa90d -o yaml   # what that change overwrote",
    ),
)
@click.argument("word", required=False, default="", metavar="[KIND/NAME | CHANGE]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--no-headers", is_flag=True, help="Leave the titles of the table out.")
@output_option("table", "wide", "yaml", "json")
def command(session: Session, /, word: str, limit: int, no_headers: bool, output: str) -> int:
    """Show who changed what, and when.

    Newest first, of all namespaces unless -n names one. With a change's id: every object of it and, with -o yaml or
    json, the values that it overwrote.
    """
    with session.store() as client:
        if _CHANGE_ID.fullmatch(word):
            from store.etcd.history import read_change

            records: Sequence[HistoryRecord] = read_change(
                client, word, namespace=session.namespace_given
            )
            if output in ("table", "wide"):
                _say_objects(session, records)
                return exits.OK
        else:
            records = _listed(session, client, word, limit)
    changes = _by_change(records)
    if output in ("yaml", "json"):
        from meshd.cli.forms import as_json_text, as_yaml

        documents = [_as_json(rows) for rows in changes]
        is_yaml = output == "yaml"
        text = as_yaml(documents) if is_yaml else as_json_text(documents)
        session.console.say(text, nl=not is_yaml)
    else:
        from meshd.cli.tables import table

        header = ("CHANGE", "REVISION", "TIME", "AUTHOR", "OBJECTS", "MESSAGE")
        cells = [_cells(rows, is_wide=output == "wide") for rows in changes]
        session.console.say(table(() if no_headers else header, cells, width=session.console.width))
    if not changes:
        session.console.note("no change is kept in history")
    return exits.OK


def _listed(session: Session, client: EtcdClient, word: str, limit: int) -> Sequence[HistoryRecord]:
    """The newest records: all, or those that touched the object that `word` names."""
    from store.etcd.history import list_history

    if not word:
        found = list_history(client, namespace=session.namespace_given, limit=limit)
        for reason in found.unreadable:
            session.console.warn(f"warning: {reason}")
        return found.records
    from store.keys import object_key

    if "/" not in word:
        raise click.UsageError(f'"{word}" is neither KIND/NAME nor the id of a change')
    ref = select([word], session.namespace).refs[0]
    key = object_key(ref)
    found = list_history(client, namespace=ref.namespace, limit=_SEARCHED_MAX)
    hits = [one for one in found.records if any(row.key == key for row in one.overwrote)]
    if len(found.records) == _SEARCHED_MAX:
        session.console.note(f"only the newest {_SEARCHED_MAX} changes were searched")
    return hits[:limit]


def _by_change(records: Sequence[HistoryRecord]) -> list[list[HistoryRecord]]:
    """The records of one change stand together."""
    changes: dict[str, list[HistoryRecord]] = {}
    for record in records:
        changes.setdefault(record.change, []).append(record)
    return list(changes.values())


def _cells(records: Sequence[HistoryRecord], *, is_wide: bool) -> list[str]:
    first = records[0]
    names = [_deed(one) for record in records for one in record.overwrote]
    shown = names if is_wide else names[:_OBJECTS_SHOWN]
    rest = f", and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    objects = ", ".join(shown) + rest
    return [first.change, str(first.revision), first.time, first.author, objects, first.message]


def _say_objects(session: Session, records: Sequence[HistoryRecord]) -> None:
    first = records[0]
    session.console.note(
        f"revision {first.revision}, {first.time}, {first.author}: {first.message or '(no message)'}"
    )
    for record in records:
        for one in record.overwrote:
            session.console.say_words(_deed(one))


def _deed(one: Overwritten) -> str:
    from store.keys import parse_key

    return f"{parse_key(one.key) or one.key} {one.action}"


def _as_json(records: Sequence[HistoryRecord]) -> Mapping[str, Any]:
    first = records[0]
    return {
        "change": first.change,
        "revision": first.revision,
        "time": first.time,
        "author": first.author,
        "message": first.message,
        "objects": [_overwritten(one) for record in records for one in record.overwrote],
    }


def _overwritten(one: Overwritten) -> Mapping[str, Any]:
    from meshd.cli.stored import as_stored
    from store.keys import parse_key

    before = None
    if one.before is not None:
        stored = as_stored(one.before)
        before = stored.shown() if stored is not None else one.before.value.decode(errors="replace")
    return {
        "object": str(parse_key(one.key) or one.key),
        "action": one.action.value,
        "before": before,
    }
