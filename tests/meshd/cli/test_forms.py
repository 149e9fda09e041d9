from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshd.cli.forms import as_json_text, as_yaml
from store.manifest import read_text

TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    st.sampled_from(
        ["NO", "yes", "12:30", "*", "1e3", "1E0", "0x1f", "~", "null", "", " a", "a: b", "#"]
    ),
)
VALUES = st.recursive(
    TEXTS | st.integers(-1000, 10**12) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_is_written_as_yaml_is_read_back_the_same(documents: list[dict[str, object]]) -> None:
    documents = [{"kind": "X", **document} for document in documents]
    documents = [{**document, "items": "none"} for document in documents]
    manifest = read_text(as_yaml(documents))
    assert manifest.diagnostics == ()
    assert [document.value for document in manifest.documents] == documents


def test_a_value_used_twice_is_written_twice() -> None:
    shared = {"a": [1]}
    assert "&" not in as_yaml([{"x": shared, "y": shared}])


def test_no_document_is_no_text() -> None:
    assert as_yaml([]) == ""


def test_yaml_keeps_the_order_of_fields() -> None:
    document = {"kind": "X", "apiVersion": "v1", "b": 1, "a": 2}
    assert list(yaml.safe_load(as_yaml([document]))) == list(document)


def test_json_is_one_document_with_unicode_as_it_is() -> None:
    text = as_json_text({"name": "é", "rows": ({"a": 1},)})
    assert "é" in text
    assert json.loads(text) == {"name": "é", "rows": [{"a": 1}]}
