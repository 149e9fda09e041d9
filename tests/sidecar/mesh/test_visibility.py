"""exportTo: who sees an object, and in which order the audiences are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.visibility import (
    PUBLIC,
    Audience,
    Reach,
    audiences,
    audiences_seen_by,
    export_list,
    seen_by,
)

NAMESPACES = ["a", "b", "c"]
entries = st.lists(st.sampled_from([*NAMESPACES, ".", "*", "~"]), max_size=4)


@pytest.mark.parametrize(
    ("export_to", "default", "expected"),
    [
        ((), (), ("*",)),
        ((), (".",), ("a",)),
        ((), ("*",), ("*",)),
        ((".",), ("*",), ("a",)),
        (("b", ".", "b"), (), ("a", "b")),
        (("b", "*"), (), ("*",)),
        (("~",), (), ("~",)),
        (("~", "*"), (), ("*",)),
        (None, ("b",), ("b",)),
    ],
)
def test_export_list_resolves_defaults_dot_and_star(
    export_to: tuple[str, ...] | None, default: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert export_list(export_to, default, "a") == expected


def test_audiences_are_read_private_then_exported_then_public() -> None:
    assert audiences_seen_by("a") == (
        Audience(Reach.PRIVATE, "a"),
        Audience(Reach.EXPORTED, "a"),
        PUBLIC,
    )


@given(entries, st.sampled_from(NAMESPACES), st.sampled_from(NAMESPACES))
def test_a_namespace_sees_exactly_what_stands_in_its_audiences(
    export_to: list[str], owner: str, client: str
) -> None:
    exported = export_list(export_to, (), owner)
    found = set(audiences(exported, owner)) & set(audiences_seen_by(client))
    assert bool(found) == seen_by(exported, client)
    assert len(found) <= 1


def test_nobody_sees_what_is_exported_to_nobody() -> None:
    assert audiences(("~",), "a") == ()
    assert not seen_by(("~",), "a")
