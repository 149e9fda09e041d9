"""`meshd explain`: kinds and fields, from the same models that judge objects."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from meshd.cli import exits
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from store.objects.fields import FieldDoc

__all__ = ["command"]

_WIDTH = 100


@verb(
    "explain",
    examples=(
        "meshd explain vs",
        "meshd explain vs.spec.http.retries",
        "meshd explain DestinationRule --recursive",
    ),
)
@click.argument("path", required=False, default="", metavar="KIND[.PATH]")
@click.option("--recursive", is_flag=True, help="All fields below, one to a line.")
@output_option("text", "json")
def command(session: Session, /, path: str, recursive: bool, output: str) -> int:
    """Explain a kind or a field of it.

    Meaning, type, unit, default and limits.
    """
    from store.objects.fields import describe_path

    if not path:
        _say_kinds(session)
        return exits.OK
    found = describe_path(path)
    if output == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text(_as_json(found)))
    elif recursive:
        session.console.say("\n".join(_tree(found)))
    else:
        session.console.say("\n".join(_text(found)))
    return exits.OK


def _say_kinds(session: Session) -> None:
    from meshd.cli.tables import table
    from store.objects.kinds import KINDS

    rows = [
        [row.kind.value, row.plural, ",".join(row.short), row.api_versions[0]]
        for row in KINDS.values()
    ]
    session.console.say(table(("KIND", "PLURAL", "SHORT", "APIVERSION"), rows))
    session.console.note("meshd explain KIND.path explains a field")


def _text(field: FieldDoc) -> Iterator[str]:
    yield f"{field.path}  <{field.type}>{'  required' if field.required else ''}"
    yield ""
    yield textwrap.fill(field.description, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    facts = (
        ("default", field.default),
        ("unit", field.unit),
        ("limits", field.limits),
        ("one of", ", ".join(field.choices)),
    )
    told = [f"  {name}: {value}" for name, value in (*facts, *_effect(field)) if value]
    yield from ["", *told] if told else []
    for group in field.exclusive:
        yield f"  at most one of: {', '.join(group)}"
    if field.children:
        yield ""
        yield "fields:"
    for child in field.children:
        yield f"  {child.name}  <{child.type}>{'  required' if child.required else ''}"
        first = child.description.split(". ")[0].rstrip(".")
        yield textwrap.fill(first, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _effect(field: FieldDoc) -> tuple[tuple[str, str], ...]:
    """What a field of Istio's becomes, and whether it is in force."""
    from store.objects.becomes import becomes
    from store.objects.kinds import Kind
    from store.validation.verdicts import verdict_of

    word, _, path = field.path.partition(".")
    if Kind(word) is Kind.MESH_CONFIG or not path.startswith("spec."):
        return ()
    return ("becomes", becomes(Kind(word), path)), ("effect", verdict_of(Kind(word), path).text)


def _tree(field: FieldDoc) -> Iterator[str]:
    """Every field below, indented."""
    from store.objects.fields import walk
    from store.objects.kinds import kind_named

    kind = kind_named(field.path.split(".")[0])
    assert kind is not None, f"{field.path} begins with no kind"
    base = field.path.count(".")
    yield f"{field.path}  <{field.type}>"
    for one in walk(kind):
        if one.path.startswith((f"{field.path}.", f"{field.path}[]", f"{field.path}{{}}")):
            yield f"{'  ' * (one.path.count('.') - base)}{one.name}  <{one.type}>"


def _as_json(field: FieldDoc) -> Mapping[str, Any]:
    return {
        "path": field.path,
        "name": field.name,
        "type": field.type,
        "description": field.description,
        "required": field.required,
        "default": field.default,
        "unit": field.unit,
        "limits": field.limits,
        "choices": list(field.choices),
        "exclusive": [list(group) for group in field.exclusive],
        **dict(_effect(field)),
        "fields": [_as_json(child) for child in field.children],
    }
