"""What fields become: every one is told, by messages and fields that Envoy's API has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sidecar.xds import protos
from store.objects.becomes import becomes
from store.objects.kinds import Kind
from store.validation.verdicts import Standing, verdict_of
from tests.harness.fields import FIELDS, fields_of, leaves

NAMED = re.compile(r"`([A-Z][A-Za-z0-9]+)(?:\.([a-z0-9_]+))?`")


def messages() -> Mapping[str, set[str]]:
    """Fields of every message that ours lead to, by its own name; several may share one."""
    found: dict[str, set[str]] = {}
    seen: set[str] = set()
    waiting: list[Any] = [
        one.DESCRIPTOR for one in vars(protos).values() if hasattr(one, "DESCRIPTOR")
    ]
    while waiting:
        one = waiting.pop()
        if not hasattr(one, "fields") or one.full_name in seen:
            continue
        seen.add(one.full_name)
        oneofs = {choice.name for choice in one.oneofs}
        found.setdefault(one.name, set()).update({field.name for field in one.fields} | oneofs)
        waiting += list(one.nested_types)
        waiting += [field.message_type for field in one.fields if field.message_type is not None]
    return found


def told() -> Iterator[tuple[str, str]]:
    for kind in FIELDS:
        for path in fields_of(kind):
            yield f"{kind.value}.{path}", becomes(kind, path)


def test_what_a_field_becomes_is_part_of_envoys_interface() -> None:
    known = messages()
    wrong = [
        f"{path}: {message}.{field}"
        for path, text in told()
        for message, field in NAMED.findall(text)
        if message not in known or (field and field not in known[message])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_in_force_says_what_it_becomes(kind: Kind) -> None:
    silent = [
        path
        for path in leaves(kind)
        if verdict_of(kind, path).standing is Standing.IN_FORCE and not becomes(kind, path)
    ]
    assert not silent


def test_a_path_may_bear_marks_at_its_end() -> None:
    assert becomes(Kind.VIRTUAL_SERVICE, "spec.hosts[]") == "`VirtualHost.domains`"
    assert becomes(Kind.VIRTUAL_SERVICE, "spec.http[].match[].headers{}") == becomes(
        Kind.VIRTUAL_SERVICE, "spec.http[].match[].headers"
    )
    assert becomes(Kind.MESH_CONFIG, "spec.domain") == ""
