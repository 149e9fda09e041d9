from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from meshd.cli.names import parse_labels, select
from store.errors import InputError
from store.objects.kinds import Kind, ObjectRef

VS, DR, MESH = Kind.VIRTUAL_SERVICE, Kind.DESTINATION_RULE, Kind.MESH_CONFIG


@pytest.mark.parametrize(
    "word", ["vs", "VS", "virtualservice", "VirtualService", "virtualservices"]
)
def test_kinds_may_be_short_singular_plural_in_any_case(word: str) -> None:
    assert select([word], "default").kinds == (VS,)


def test_several_kinds_and_all() -> None:
    assert select(["vs,dr,vs"], "default").kinds == (VS, DR)
    assert select(["all"], "default").kinds == tuple(Kind)


@pytest.mark.parametrize(
    ("words", "refs"),
    [
        (["vs", "a", "b", "a"], [ObjectRef(VS, "shop", "a"), ObjectRef(VS, "shop", "b")]),
        (["vs/a", "dr/b"], [ObjectRef(VS, "shop", "a"), ObjectRef(DR, "shop", "b")]),
        (["VirtualService/prod/a"], [ObjectRef(VS, "prod", "a")]),
        (["mesh", "mesh"], [ObjectRef(MESH, "", "mesh")]),
        (["MeshConfig/mesh"], [ObjectRef(MESH, "", "mesh")]),
    ],
)
def test_names_lie_in_the_namespace_unless_they_say_otherwise(
    words: Sequence[str], refs: list[ObjectRef]
) -> None:
    selection = select(words, "shop")
    assert list(selection.refs) == refs
    assert selection.kinds == ()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "which kind"),
        (["virtualservise"], 'did you mean "VirtualService"'),
        (["vs,dr", "a"], "several kinds"),
        (["vs/"], "KIND/NAME"),
        (["vs//a"], "KIND/NAME"),
        (["vs/a", "b"], "KIND/NAME"),
        (["nothing/a"], "there is no kind"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: Sequence[str], text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        select(words, "default")


def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InputError, match="Upper"):
        select(["vs", "Upper"], "default")
    with pytest.raises(InputError, match="MeshConfig"):
        select(["mesh", "other"], "default")


def test_labels_add_up() -> None:
    assert parse_labels(["a=1,b=2", "c="]) == {"a": "1", "b": "2", "c": ""}


@pytest.mark.parametrize("text", ["a", "=1", "a!=1", "a==1"])
def test_only_equality_chooses_by_label(text: str) -> None:
    with pytest.raises(click.UsageError, match="NAME=VALUE"):
        parse_labels([text])
