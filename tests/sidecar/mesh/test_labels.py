"""Selection by labels, against scanning everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.labels import LabelIndex, SelectorIndex, includes

label_sets = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("01"), max_size=3)
namespaces = st.sampled_from(["a", "b"])
members = st.dictionaries(st.integers(0, 9), st.tuples(namespaces, label_sets), max_size=10)


def pairs(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


@given(members, st.sets(st.integers(0, 9)), namespaces, label_sets)
def test_selecting_finds_what_scanning_finds(
    given_members: dict[int, tuple[str, dict[str, str]]],
    removed: set[int],
    namespace: str,
    selector: dict[str, str],
) -> None:
    index: LabelIndex[int, int] = LabelIndex()
    for key, (place, labels) in given_members.items():
        index = index.add(place, key, key, labels)
    for key in removed & set(given_members):
        index = index.remove(given_members[key][0], key)
    expected = {
        key
        for key, (place, labels) in given_members.items()
        if key not in removed
        and place == namespace
        and selector
        and includes(labels, pairs(selector))
    }
    found = index.select(namespace, pairs(selector))
    assert set(found) == expected
    assert len(found) == len(expected)


@given(members, st.sets(st.integers(0, 9)), namespaces, label_sets)
def test_owners_of_selectors_are_those_that_scanning_finds(
    owners: dict[int, tuple[str, dict[str, str]]],
    removed: set[int],
    namespace: str,
    labels: dict[str, str],
) -> None:
    index: SelectorIndex[int, int] = SelectorIndex()
    for key, (place, selector) in owners.items():
        index = index.add(place, key, key, pairs(selector))
    for key in removed & set(owners):
        index = index.remove(owners[key][0], key, pairs(owners[key][1]))
    expected = {
        key
        for key, (place, selector) in owners.items()
        if key not in removed
        and place == namespace
        and selector
        and includes(labels, pairs(selector))
    }
    assert set(index.owners(namespace, labels)) == expected


@given(members)
def test_removing_everything_leaves_nothing_behind(
    given_members: dict[int, tuple[str, dict[str, str]]],
) -> None:
    index: LabelIndex[int, int] = LabelIndex()
    selectors: SelectorIndex[int, int] = SelectorIndex()
    for key, (place, labels) in given_members.items():
        index = index.add(place, key, key, labels)
        selectors = selectors.add(place, key, key, pairs(labels))
    for key, (place, labels) in given_members.items():
        index = index.remove(place, key)
        selectors = selectors.remove(place, key, pairs(labels))
    assert len(index.by_pair) == len(index.labels) == len(selectors.by_anchor) == 0


def test_removing_what_is_not_there_changes_nothing() -> None:
    index: LabelIndex[int, int] = LabelIndex()
    assert index.remove("a", 1) is index
