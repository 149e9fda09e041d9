"""Names on the command line: which kinds and which objects a person means.

vs                      all VirtualServices            vs,dr    several kinds
vs reviews ratings      two of them                    all      every kind
vs/reviews dr/reviews   kind and name                  mesh     the MeshConfig
VirtualService/default/reviews                         as meshd itself prints them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from store.keys import MESH_KEY, object_key
from store.objects.kinds import KINDS, Kind, ObjectRef, kind_named

__all__ = ["Selection", "parse_labels", "select"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was named: whole kinds, or single objects."""

    kinds: tuple[Kind, ...] = ()
    """Kinds of which all are meant; empty where single objects are named."""
    refs: tuple[ObjectRef, ...] = ()
    """Single objects, in the order in which they were named."""


def select(words: Sequence[str], namespace: str) -> Selection:
    """What `words` name; a name without a namespace lies in `namespace`.

    Raises:
        click.UsageError: A kind is unknown, or kinds and names are mixed.
        InputError: A name cannot be one.
    """
    if not words:
        raise click.UsageError(f"which kind? One of {_kind_words()}, or all")
    if any("/" in word for word in words):
        return Selection(refs=tuple(dict.fromkeys(_full_name(word, namespace) for word in words)))
    kinds = _kinds(words[0])
    if len(words) == 1:
        return Selection(kinds=kinds)
    if len(kinds) > 1:
        raise click.UsageError(
            f'names behind several kinds ("{words[0]}"): write KIND/NAME for each'
        )
    refs = (_ref(kinds[0], namespace, name) for name in words[1:])
    return Selection(refs=tuple(dict.fromkeys(refs)))


def parse_labels(selectors: Sequence[str]) -> dict[str, str]:
    """`-l a=b,c=d` as a mapping.

    Raises:
        click.UsageError: A part is not NAME=VALUE.
    """
    labels: dict[str, str] = {}
    for part in (part for selector in selectors for part in selector.split(",") if part):
        name, equals, value = part.partition("=")
        if not equals or not name or value.startswith("=") or name.endswith("!"):
            raise click.UsageError(
                f"-l {part}: labels are chosen as NAME=VALUE, for instance -l app=web"
            )
        labels[name] = value
    return labels


def _kinds(word: str) -> tuple[Kind, ...]:
    if word.lower() == "all":
        return tuple(Kind)
    return tuple(dict.fromkeys(_kind(part) for part in word.split(",") if part))


def _kind(word: str) -> Kind:
    kind = kind_named(word)
    if kind is not None:
        return kind
    from store.diagnostics import nearest_hint

    spellings = [name for row in KINDS.values() for name in (row.kind.value, row.plural)]
    hint = nearest_hint(word, spellings) or f"the kinds are {_kind_words()}"
    raise click.UsageError(f'there is no kind "{word}"; {hint}')


def _full_name(word: str, namespace: str) -> ObjectRef:
    match word.split("/"):
        case [kind, name] if name:
            return _ref(_kind(kind), namespace, name)
        case [kind, space, name] if space and name:
            return _ref(_kind(kind), space, name)
        case _:
            raise click.UsageError(f'"{word}" is not KIND/NAME or KIND/NAMESPACE/NAME')


def _ref(kind: Kind, namespace: str, name: str) -> ObjectRef:
    ref = ObjectRef(kind, namespace if KINDS[kind].namespaced else "", name)
    object_key(ref)  # refuses what cannot be a name
    return ref


def _kind_words() -> str:
    return ", ".join(
        row.short[0] if row.kind is not Kind.MESH_CONFIG else MESH_KEY for row in KINDS.values()
    )
