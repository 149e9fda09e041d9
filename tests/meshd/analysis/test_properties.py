"""What holds of the analysis whatever the mesh is: it answers, agrees with what serves, and knows no order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshd.analysis import World, Written, analyze
from sidecar.mesh.facts import VirtualServiceFacts
from sidecar.mesh.model import Context
from sidecar.mesh.references import VirtualServiceRef
from sidecar.mesh.view import View
from sidecar.routing.conditions import Place
from sidecar.routing.rules import routes_of
from store.diagnostics import CODES, Path
from store.objects import parse_object
from store.validation import check_object
from tests.harness.catalogs import Store, key_of
from tests.harness.worlds import CHANGES, OBJECTS
from tests.harness.worlds import World as Changing

Document = Mapping[str, object]

PUBLISHED = tuple(one for one in OBJECTS if one["kind"] != "HostRegistration")
SETS = st.lists(st.sampled_from(PUBLISHED), max_size=8, unique_by=key_of)
DOUBTS = ("MESH0201", "MESH0202", "MESH0203", "MESH0205")
"""Codes of destinations that surely get 503."""


def locate(path: Path, *, at_key: bool = False) -> tuple[int, int]:
    """A place that depends on the path alone."""
    return (len(path) + 1, 2 if at_key else 1)


def written(documents: Sequence[Document]) -> list[Written]:
    """The documents as if read from a file."""
    models = [parse_object(document) for document in documents]
    return [Written(model.ref, model, "f", locate) for model in models]


def mesh_after(steps: Sequence[Document | str]) -> Store:
    """A store after some changes."""
    world = Changing()
    for step in steps:
        world.change(step)
    return world.store


@settings(max_examples=60)
@given(CHANGES, SETS, st.randoms(use_true_random=False))
def test_order_of_files_does_not_matter(
    steps: list[Document | str], documents: list[Document], random: object
) -> None:
    store = mesh_after(steps)
    shuffled = list(documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' Random has no type of its own
    expected = analyze(written(documents), store.catalog)
    assert analyze(written(shuffled), store.catalog) == expected


@settings(max_examples=60)
@given(CHANGES, SETS)
def test_what_is_said_of_written_objects_is_said_of_them_once_stored(
    steps: list[Document | str], documents: list[Document]
) -> None:
    store = mesh_after(steps)
    before = analyze(written(documents), store.catalog)
    if documents:
        store.put(documents)
    after = {(problem.code, problem.object, problem.path) for problem in analyze((), store.catalog)}
    assert {(problem.code, problem.object, problem.path) for problem in before} <= after


@settings(max_examples=60)
@given(CHANGES)
def test_putting_what_is_stored_says_nothing_of_others(steps: list[Document | str]) -> None:
    store = mesh_after(steps)
    documents = [one for one in PUBLISHED if _is_stored(store, one)]
    about = {str(one.ref) for one in written(documents)}
    assert {problem.object for problem in analyze(written(documents), store.catalog)} <= about


@settings(max_examples=60)
@given(SETS)
def test_nothing_is_said_to_be_missing_from_files_alone(documents: list[Document]) -> None:
    missing = {"MESH0201", "MESH0210", "MESH0221", "MESH0230", "MESH0231", "MESH0250", "MESH0251"}
    assert not missing & {problem.code for problem in analyze(written(documents))}


@settings(max_examples=100)
@given(CHANGES)
def test_doubts_of_the_table_that_serves_are_told_and_no_others(
    steps: list[Document | str],
) -> None:
    """A destination that the routing table doubts has a problem, and the other way round."""
    store = mesh_after(steps)
    mesh = World(store.catalog).mesh
    problems = analyze((), store.catalog)
    for ref, facts in mesh.facts.items():
        if not isinstance(facts, VirtualServiceFacts) or facts.export_to != ("*",):
            continue
        context = Context("", ref.namespace)
        rules = VirtualServiceRef(facts, mesh.objects[ref])
        ruled = routes_of(View(mesh, context), rules, Place(namespace=ref.namespace))
        own = [note for note in ruled.passed_over if note[0].ref == ref and "get 503" in note[1]]
        doubted = {place.path for place, _ in own}
        told = {
            p.path for p in problems if p.object == str(ref) and p.code in (*DOUBTS, "MESH0204")
        }
        sure = {p.path for p in problems if p.object == str(ref) and p.code in DOUBTS}
        read = {route.source.path.partition(".match")[0] for route in ruled.routes}
        assert all(any(path.startswith(place) for path in told) for place in doubted)
        assert all(
            any(path.startswith(place) for place in doubted)
            for path in sure
            if path.partition(".route")[0] in read
        )


ODD = (
    "",
    "*",
    ".",
    "..",
    "/",
    "~",
    "~/x",
    "a/b/c",
    "/a",
    "*.",
    "*.*",
    "[",
    "(",
    "1.2.3.4",
    "A_b",
    "a" * 300,
)
"""Texts that are no names."""


def spoilt(value: object, draw: st.DrawFn) -> object:
    """A value of the same shape in which some texts and numbers are odd."""
    if isinstance(value, Mapping):
        return {key: spoilt(item, draw) for key, item in value.items()}
    if isinstance(value, list):
        return [spoilt(item, draw) for item in value]
    if draw(st.integers(0, 3)):
        return value
    if isinstance(value, str):
        return draw(st.sampled_from(ODD))
    if type(value) is int:
        return draw(st.sampled_from((0, -1, 65536)))
    return value


@st.composite
def broken(draw: st.DrawFn) -> list[Written]:
    """Objects that break rules of their own but have the right shape."""
    found = []
    for document in draw(st.lists(st.sampled_from(PUBLISHED), min_size=1, max_size=8)):
        whole = {
            **document,
            **{part: spoilt(document[part], draw) for part in ("metadata", "spec")},
        }
        try:
            [one] = written([whole])
        except ValidationError:
            continue
        found.append(replace(one, is_valid=check_object(whole)[0] is not None))
    return found


@settings(max_examples=300)
@given(CHANGES, broken())
def test_objects_that_break_rules_are_analysed_as_well(
    steps: list[Document | str], objects: list[Written]
) -> None:
    found = [*analyze(objects), *analyze(objects, mesh_after(steps).catalog)]
    assert all(problem.message and problem.code in CODES for problem in found)


def _is_stored(store: Store, document: Document) -> bool:
    entry = store.snapshot.get(key_of(document))
    if entry is None:
        return False
    ref = parse_object(document).ref
    return store.catalog.objects[ref].model == parse_object(document)
