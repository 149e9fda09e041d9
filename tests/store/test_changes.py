"""What a put, delete, prune or rollback does to each key, decided from values alone."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.changes import (
    OBJECT_BYTES_MAX,
    ChangeSet,
    object_ref,
    plan_delete,
    plan_put,
    plan_rollback,
    prunable,
)
from store.codec import encode
from store.errors import ConflictError, InputError, NotFoundError
from store.history import Action, HistoryRecord, Overwritten
from store.keys import object_key
from store.objects.base import ObjectRef
from store.objects.kinds import Kind
from store.snapshot import Entry


def rule(
    name: str = "reviews", namespace: str = "default", **metadata: object
) -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"host": name},
    }


def key_of(name: str = "reviews", namespace: str = "default") -> str:
    return object_key(ObjectRef(Kind.DESTINATION_RULE, namespace, name))


def stored(document: Mapping[str, object], revision: int = 7) -> dict[str, Entry]:
    ref = object_ref(document)
    key = object_key(ref)
    return {key: Entry(key, encode(document), revision, revision, 1)}


def actions(change_set: ChangeSet) -> dict[str, Action]:
    return {change.key: change.action for change in change_set.changes}


def test_what_is_absent_is_created_and_what_differs_is_configured() -> None:
    current = stored(rule("reviews", labels={"old": "yes"}))
    plan = plan_put([rule("reviews"), rule("ratings")], current, revision=9)
    assert actions(plan) == {key_of(): Action.CONFIGURED, key_of("ratings"): Action.CREATED}
    assert [change.key for change in plan.effective] == [key_of(), key_of("ratings")]


def test_another_order_of_keys_and_yaml_of_the_same_meaning_are_unchanged() -> None:
    yaml = (
        b"kind: DestinationRule\nspec: {host: reviews}\nmetadata:\n  name: reviews\n"
        b"apiVersion: networking.istio.io/v1\n"
    )
    current = {key_of(): Entry(key_of(), yaml, 3, 3, 1)}
    plan = plan_put([rule()], current, revision=9)
    assert actions(plan) == {key_of(): Action.UNCHANGED}
    assert plan.effective == ()


def test_what_servers_write_into_metadata_is_no_change_and_is_not_stored() -> None:
    noisy = {**rule(generation=4, uid="u", creationTimestamp="now"), "status": {"x": 1}}
    assert actions(plan_put([noisy], stored(rule()), revision=9)) == {key_of(): Action.UNCHANGED}


def test_a_stored_value_that_cannot_be_read_is_overwritten() -> None:
    current = {key_of(): Entry(key_of(), b"\xff\xfe", 3, 3, 1)}
    assert actions(plan_put([rule()], current, revision=9)) == {key_of(): Action.CONFIGURED}


def test_a_missing_namespace_is_the_default_one_and_is_stored() -> None:
    document = rule()
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    del metadata["namespace"]
    (change,) = plan_put([document], {}, revision=1, default_namespace="shop").changes
    assert change.key == key_of(namespace="shop")
    assert json.loads(change.after or b"")["metadata"]["namespace"] == "shop"


def test_the_mesh_config_has_its_own_key_and_no_namespace() -> None:
    document = {"apiVersion": "meshd.io/v1", "kind": "MeshConfig", "metadata": {"name": "mesh"}}
    (change,) = plan_put([document], {}, revision=1).changes
    assert (change.key, change.namespace) == ("mesh", "")


@pytest.mark.parametrize(
    "document", [{}, {"kind": "Pod", "metadata": {"name": "x"}}, {"kind": "Gateway"}]
)
def test_a_document_without_kind_or_name_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InputError, match="needs a known kind and a name"):
        plan_put([document], {}, revision=1)


def test_all_documents_that_are_double_or_too_large_are_named_at_once() -> None:
    large = rule("large", annotations={"note": "x" * OBJECT_BYTES_MAX})
    with pytest.raises(InputError) as failure:
        plan_put([rule(), rule(), large], {}, revision=1)
    assert "default/reviews is given twice" in failure.value.message
    assert "default/large has" in failure.value.message


def test_a_resource_version_is_written_over_only_that_revision() -> None:
    current = stored(rule(labels={"a": "b"}), revision=7)
    plan = plan_put([rule(resourceVersion="7")], current, revision=9)
    assert actions(plan) == {key_of(): Action.CONFIGURED}
    with pytest.raises(ConflictError) as failure:
        plan_put(
            [rule(resourceVersion="6"), rule("gone", resourceVersion="2")], current, revision=9
        )
    text = failure.value.message
    assert "made from resourceVersion 6, the stored one is 7" in text
    assert '"labels":{"a":"b"}' in text
    assert "default/gone: made from resourceVersion 2, but it has been deleted" in text


def test_pruning_deletes_what_no_document_names() -> None:
    current = stored(rule("old")) | stored(rule())
    plan = plan_put(
        [rule()], current, revision=9, prune=[key_of("old"), key_of(), key_of("absent")]
    )
    assert actions(plan) == {key_of(): Action.UNCHANGED, key_of("old"): Action.DELETED}


def test_pruning_needs_a_namespace_or_labels() -> None:
    with pytest.raises(InputError, match="-n NAMESPACE or -l"):
        list(prunable([]))


def test_pruning_takes_only_objects_of_that_namespace_with_those_labels() -> None:
    mine = stored(rule("mine", labels={"app": "a", "tier": "b"}))
    current = mine | stored(rule("other", labels={"app": "x"}))
    current |= stored(rule("far", namespace="far", labels={"app": "a"}))
    for key in ("mesh", "hosts/vm-1", "format", "nonsense/x"):
        current[key] = Entry(key, b"{}", 1, 1, 1)
    current[key_of("broken")] = Entry(key_of("broken"), b"\xff", 1, 1, 1)
    assert set(prunable(current.values(), labels={"app": "a"})) == {
        key_of("mine"),
        key_of("far", "far"),
    }
    assert set(prunable(current.values(), namespace="far")) == {key_of("far", "far")}
    both = prunable(current.values(), namespace="default", labels={"app": "a"})
    assert list(both) == [key_of("mine")]


def test_deleting_what_is_absent_names_all_of_it() -> None:
    current = stored(rule())
    with pytest.raises(NotFoundError) as failure:
        plan_delete([key_of(), key_of("a"), key_of("b")], current, revision=9)
    assert "default/a" in failure.value.message
    assert "default/b" in failure.value.message
    plan = plan_delete([key_of(), key_of(), key_of("a")], current, revision=9, ignore_absent=True)
    assert actions(plan) == {key_of(): Action.DELETED}


def record(*overwrote: Overwritten, revision: int = 20) -> HistoryRecord:
    return HistoryRecord(
        change="c1",
        namespace="default",
        namespaces=("default",),
        author="me",
        time="2026-01-01T00:00:00Z",
        message="",
        overwrote=overwrote,
        revision=revision,
    )


def test_a_rollback_brings_back_recreates_and_removes() -> None:
    old = Entry(key_of("a"), b"old a", 1, 5, 3)
    gone = Entry(key_of("b"), b"old b", 2, 6, 1)
    change = record(
        Overwritten(key_of("a"), Action.CONFIGURED, old),
        Overwritten(key_of("b"), Action.DELETED, gone),
        Overwritten(key_of("c"), Action.CREATED, None),
    )
    current = {
        key_of("a"): Entry(key_of("a"), b"new a", 1, 20, 4),
        key_of("c"): Entry(key_of("c"), b"new c", 20, 20, 1),
    }
    plan = plan_rollback([change], current, revision=30)
    assert [(one.key, one.action, one.after) for one in plan.changes] == [
        (key_of("a"), Action.CONFIGURED, b"old a"),
        (key_of("b"), Action.CREATED, b"old b"),
        (key_of("c"), Action.DELETED, None),
    ]


def test_a_rollback_refuses_where_a_key_has_changed_since_unless_forced() -> None:
    old = Entry(key_of("a"), b"old a", 1, 5, 3)
    change = record(
        Overwritten(key_of("a"), Action.CONFIGURED, old),
        Overwritten(key_of("b"), Action.DELETED, Entry(key_of("b"), b"old b", 2, 6, 1)),
        Overwritten(key_of("c"), Action.CREATED, None),
    )
    current = {
        key_of("a"): Entry(key_of("a"), b"newest a", 1, 25, 5),
        key_of("b"): Entry(key_of("b"), b"old b", 26, 26, 1),
    }
    with pytest.raises(ConflictError) as failure:
        plan_rollback([change], current, revision=30)
    text = failure.value.message
    assert "default/a: at revision 25 now: newest a" in text
    assert "default/b: at revision 26 now" in text
    assert "default/c: written at revision 20, deleted since" in text
    forced = plan_rollback([change], current, revision=30, force=True)
    assert actions(forced) == {
        key_of("a"): Action.CONFIGURED,
        key_of("b"): Action.UNCHANGED,
        key_of("c"): Action.UNCHANGED,
    }


names = st.sampled_from(["a", "b", "c", "d"])
meshes = st.dictionaries(names, st.sampled_from(["x", "y", "z"]), max_size=4)


@given(before=meshes, after=meshes, prune=st.booleans())
def test_after_a_change_set_the_store_holds_the_documents_and_doing_it_again_changes_nothing(
    before: dict[str, str], after: dict[str, str], prune: bool
) -> None:
    def document(name: str, text: str) -> dict[str, object]:
        return rule(name, annotations={"text": text})

    current: dict[str, Entry] = {}
    for name, text in before.items():
        current |= stored(document(name, text))
    wanted = [document(name, text) for name, text in after.items()]
    plan = plan_put(wanted, current, revision=9, prune=list(current) if prune else ())
    values = {key: entry.value for key, entry in current.items()}
    for change in plan.effective:
        if change.after is None:
            del values[change.key]
        else:
            values[change.key] = change.after
    expected = {key_of(name): encode(document(name, text)) for name, text in after.items()}
    assert values == (expected if prune else values | expected)
    again = {key: Entry(key, value, 1, 10, 2) for key, value in values.items()}
    assert plan_put(wanted, again, revision=10, prune=list(again) if prune else ()).effective == ()
