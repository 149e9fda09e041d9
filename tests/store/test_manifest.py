"""Reading: documents and places, YAML's traps, bounds, files and folders. Texts with faults are in transcripts."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from store.diagnostics import Level, render
from store.manifest import Document, Manifest, read_paths, read_text
from store.manifest.nodes import DEPTH_MAX, NODES_MAX, SAME_PROBLEM_MAX
from store.manifest.scalars import old_reading, resolve

ONE = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: a}\n"


def read(text: str) -> Document:
    """The only document of a text without problems."""
    manifest = read_text(text, "f")
    assert manifest.diagnostics == ()
    assert len(manifest.documents) == 1
    return manifest.documents[0]


def codes(manifest: Manifest) -> list[str]:
    return [problem.code for problem in manifest.diagnostics]


def test_fields_are_located_by_line_and_column_from_one() -> None:
    document = read("# comment\n\nspec:\n  http:\n  - route:\n    - destination: {host: a}\n")
    assert document.line == 3
    assert document.locate(("spec", "http", 0, "route", 0, "destination", "host")) == (6, 27)
    assert document.locate(("spec", "http", 0, "route"), at_key=True) == (5, 5)
    assert document.locate(("spec", "http", 0)) == (5, 5)


def test_a_missing_field_is_located_at_its_nearest_ancestor() -> None:
    document = read("spec:\n  http:\n  - route: []\n")
    assert document.locate(("spec", "http", 0, "timeout")) == (3, 5)
    assert document.locate(("spec", "tcp", 0, "route")) == (1, 1)
    assert document.locate(("metadata",)) == (1, 1)


def test_places_behind_a_mended_quote_are_those_of_the_original() -> None:
    manifest = read_text("hosts: [*.a, b]\n", "f")
    assert codes(manifest) == ["MESH0124"]
    assert manifest.documents[0].locate(("hosts", 1)) == (1, 14)


def test_documents_keep_their_own_lines() -> None:
    text = "a: 1\n---\n# nothing\n---\nb: 2\n...\n---\n%YAML 1.2\n---\nc: 3\n"
    assert [(d.value, d.line) for d in read_text(text.replace("%YAML 1.2\n", "")).documents] == [
        ({"a": 1}, 1),
        ({"b": 2}, 5),
        ({"c": 3}, 9),
    ]


def test_content_may_stand_behind_the_separator() -> None:
    assert [d.value for d in read_text("--- {a: 1}\n--- {b: 2}\n").documents] == [
        {"a": 1},
        {"b": 2},
    ]


def test_separators_within_a_block_text_do_not_end_the_document() -> None:
    assert read("a: |\n  ---\n  b\n").value == {"a": "---\nb\n"}


@pytest.mark.parametrize("kind", ["List", "VirtualServiceList"])
def test_lists_of_objects_are_unfolded_with_their_places(kind: str) -> None:
    text = f"apiVersion: v1\nkind: {kind}\nitems:\n- kind: A\n- kind: B\n  spec: {{x: 1}}\n"
    first, second = read_text(text, "f").documents
    assert first.value == {"kind": "A"}
    assert second.line == 5
    assert second.locate(("spec", "x")) == (6, 13)


def test_a_byte_order_mark_and_all_line_ends_are_understood() -> None:
    assert read("\ufeffa: 1\r\nb:\r  c: 2\n").locate(("b", "c")) == (3, 6)


def test_lines_of_all_documents_are_kept_for_messages() -> None:
    assert read_text("a: 1\n---\nb: 2", "f").sources == {"f": ("a: 1", "---", "b: 2")}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("+5", 5),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("NO", "NO"),
        ("on", "on"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0443", "0443"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("2001-12-14", "2001-12-14"),
        ("1.2.3.4", "1.2.3.4"),
        ("99999999999999999999999999", 1e26),
        ("-", "-"),
    ],
)
def test_only_null_booleans_and_decimal_numbers_are_not_text(word: str, value: object) -> None:
    assert resolve(word) == value
    assert type(resolve(word)) is type(value)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("NO", "false"),
        ("on", "true"),
        ("12:30", "the number 750"),
        ("-1:00:00", "the number -3600"),
        ("1_000", "the number 1000"),
        ("0443", "the number 291"),
        ("0o17", "the number 15"),
        ("-0x1F", "the number -31"),
        ("0b101", "the number 5"),
        ("00", "the number 0"),
        (".inf", "infinity"),
        (".nan", "not a number"),
        ("reviews", ""),
        ("1.2.3.4", ""),
        ("0899", ""),
        ("10.0.0.0/8", ""),
        ("::1", ""),
        ("-", ""),
        ("0_8x", ""),
    ],
)
def test_words_that_older_readers_take_for_something_else(word: str, meaning: str) -> None:
    assert old_reading(word) == meaning


@given(st.text(min_size=1))
def test_old_reading_answers_for_any_word(word: str) -> None:
    assert isinstance(old_reading(word), str)
    resolve(word)


def test_quoted_words_are_text_without_a_warning() -> None:
    assert read(ONE + "spec: {network: \"NO\", locality: '12:30'}").value["spec"] == {
        "network": "NO",
        "locality": "12:30",
    }


def test_aliases_are_copies_that_do_not_change_together() -> None:
    value = read("a: &x {b: [1]}\nc: *x\n").value
    assert value == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert value["a"] is not value["c"]


def test_merged_mappings_give_way_to_fields_of_their_own_and_to_earlier_merges() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 0}\n"
    assert read(text).value["c"] == {"x": 0, "y": 1, "z": 2}


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    manifest = read_text("\n".join(lines), "f")
    assert codes(manifest) == ["MESH0122"]
    assert str(NODES_MAX) in manifest.diagnostics[0].message
    assert manifest.documents == ()


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_not_followed(opening: str) -> None:
    assert codes(read_text(opening * 5000, "f"))[0] == "MESH0122"
    deepest = "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)
    assert codes(read_text("a: " + deepest, "f")) == []


def test_a_text_beyond_all_bounds_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.manifest.documents.TEXT_LENGTH_MAX", 10)
    assert codes(read_text("a: 0123456789", "f")) == ["MESH0122"]


def test_the_same_problem_is_named_a_bounded_number_of_times() -> None:
    text = (
        ONE
        + "spec:\n  labels:\n"
        + "".join(f"    a{n}: NO\n" for n in range(500))
        + "    b: 1\n    b: 2\n"
    )
    found = codes(read_text(text, "f"))
    assert found.count("MESH0130") == SAME_PROBLEM_MAX
    assert found.count("MESH0126") == 1


def test_control_characters_are_named_with_their_place() -> None:
    manifest = read_text("é: x\nb: a\x01b\nc: [*]\n", "f")
    assert [(p.code, p.line, p.column) for p in manifest.diagnostics] == [
        ("MESH0131", 2, 5),
        ("MESH0124", 3, 5),
    ]


def test_a_lone_surrogate_is_named() -> None:
    manifest = read_text("a: 1\nb: \ud800\n", "f")
    assert codes(manifest) == ["MESH0121"]
    assert json.dumps(manifest.documents[0].value)


def test_mends_that_make_a_line_grow_come_to_an_end() -> None:
    manifest = read_text("a: 'b': 'c': 'd': 'e': [\n" * 3, "f")
    assert Level.ERROR in {problem.level for problem in manifest.diagnostics}
    assert all(len(problem.hint) < 1000 for problem in manifest.diagnostics)


def test_json_with_duplicate_keys_or_words_that_are_not_json_is_refused() -> None:
    assert codes(read_text('{"a": "\\ud83d\\ude00", "a": 1}', "f")) != []
    assert codes(read_text('{"a": "\\ud83d\\ude00", "b": NaN}', "f")) != []


def test_json_that_yaml_cannot_read_loses_only_its_places() -> None:
    manifest = read_text('{"kind": "List", "items": [{"a": "\\ud83d\\ude00"}, 3]}', "f")
    assert [document.value for document in manifest.documents] == [{"a": "\U0001f600"}]
    assert manifest.documents[0].locate(("a",)) == (1, 1)
    assert codes(manifest) == ["MESH0113"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, min_size=1).filter(
        lambda v: "<<" not in str(v)
    )
)
def test_json_reads_as_itself(value: dict[str, object]) -> None:
    manifest = read_text(json.dumps(value))
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        return
    assert [document.value for document in manifest.documents] == [value]


FLOAT_WITHOUT_POINT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
"""A number to YAML 1.2, Go and us, a string to YAML 1.1: its writers leave it without quotes."""


@given(
    st.dictionaries(st.text("abcxyz", min_size=1), json_values, min_size=1).filter(
        lambda v: "<<" not in str(v) and not FLOAT_WITHOUT_POINT.search(str(v))
    )
)
def test_what_yaml_writes_reads_as_itself(value: dict[str, object]) -> None:
    manifest = read_text(yaml.safe_dump(value, allow_unicode=False), "f")
    assert [document.value for document in manifest.documents] == [value]


@given(st.text())
def test_any_text_gives_documents_or_problems_and_problems_can_be_shown(text: str) -> None:
    manifest = read_text(text, "f")
    assert isinstance(render(manifest.diagnostics, manifest.sources), str)
    for document in manifest.documents:
        json.dumps(document.value)


SAMPLE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, labels: {app: "x y"}}
spec:
  hosts:
    - reviews
    - "*.example.org"
  http:
  - match:
    - uri: {regex: '/v\\d+'}
    route: [{destination: {host: reviews}}]
---
items: &a [1, *a]
"""


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(SAMPLE)), st.sampled_from([*"*&:-?{}[],#|>'\"%@`!\t\n ~", ""])
        ),
        min_size=1,
        max_size=6,
    )
)
def test_damaged_texts_give_problems_within_the_text(edits: list[tuple[int, str]]) -> None:
    text = SAMPLE
    for at, sign in edits:
        text = text[:at] + sign + text[at + (not sign) :]
    manifest = read_text(text, "f")
    lines = manifest.sources["f"]
    for problem in manifest.diagnostics:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert len(problem.hint) < 500
    for document in manifest.documents:
        assert document.locate(("spec", "http", 0, "route")) >= (document.line, 1)


# Files, folders and standard input.


def test_folders_are_read_in_order_of_name_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.json", ".hidden.yaml", ".git/d.yaml", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"name": "{name}"}}')
    manifest = read_paths([str(tmp_path)])
    assert [d.value["name"] for d in manifest.documents] == ["a.yml", "b.yaml", "sub/c.json"]
    assert [Path(d.file).name for d in manifest.documents] == ["a.yml", "b.yaml", "c.json"]


def test_a_file_that_is_named_may_be_called_anything(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a: 1")
    assert [d.value for d in read_paths([str(tmp_path / "objects")]).documents] == [{"a": 1}]


def test_standard_input_is_called_by_a_hyphen() -> None:
    manifest = read_paths(["-"], io.BytesIO(b"a: 1"))
    assert [(d.file, d.value) for d in manifest.documents] == [("-", {"a": 1})]
    assert codes(read_paths(["-"])) == ["MESH0120"]
    assert codes(read_paths(["-"], io.BytesIO(b"\n"))) == ["MESH0132"]


def test_what_cannot_be_read_is_a_problem_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: b\nc: \xff\n")
    (tmp_path / "b.yaml").write_bytes("a: b".encode("utf-16"))
    (tmp_path / "c.yaml").write_text("# nothing\n")
    paths = [str(tmp_path / name) for name in ("none.yaml", "a.yaml", "b.yaml", "c.yaml")]
    manifest = read_paths(paths)
    found = {Path(p.file).name: (p.code, p.line, p.column) for p in manifest.diagnostics}
    assert found == {
        "none.yaml": ("MESH0120", 0, 0),
        "a.yaml": ("MESH0121", 2, 4),
        "b.yaml": ("MESH0121", 1, 1),
        "c.yaml": ("MESH0132", 0, 0),
    }


def test_an_empty_folder_is_almost_always_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing\n")
    manifest = read_paths([str(tmp_path)])
    assert [(p.code, p.file) for p in manifest.diagnostics] == [("MESH0132", str(tmp_path))]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "a.yaml").chmod(0)
    assert codes(read_paths([str(tmp_path / "a.yaml")])) == ["MESH0120"]
