"""No field without a verdict: each is proven, or not in force and said to be; and no claim of a proof is empty."""

from __future__ import annotations

from collections import Counter

import pytest

from store.diagnostics import Level
from store.validation.check import check_object
from store.validation.verdicts import Standing, verdict_of
from tests.e2e.fields.table import GROUPS
from tests.harness.field_building import STAND_INS
from tests.harness.field_claims import missing, proven
from tests.harness.fields import FIELDS, fields_of, leaves

CASES = [case for group in GROUPS.values() for case in group]
PROVEN = proven(CASES)


@pytest.mark.parametrize("group", GROUPS)
def test_a_proof_gives_its_fields_and_without_any_of_them_something_else_is_compiled(
    group: str,
) -> None:
    wrong = [f"{case.name}: {text}" for case in GROUPS[group] for text in missing(case)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("group", GROUPS)
def test_the_objects_of_a_proof_are_valid(group: str) -> None:
    wrong = [
        f"{case.name}: {problem.message}"
        for case in GROUPS[group]
        for document in case.documents(STAND_INS)
        for problem in check_object(document)[1]
        if problem.level is Level.ERROR
    ]
    assert not wrong, "\n".join(wrong)


def test_a_proof_names_fields_that_exist() -> None:
    known = {(kind.value, path) for kind in FIELDS for path in fields_of(kind)}
    assert not [f"{case.name}: {one}" for case in CASES for one in case.paths if one not in known]


def test_cases_have_names_of_their_own() -> None:
    names = Counter(case.name for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []


def unproven() -> set[str]:
    """Fields that are said to be in force and that no case proves."""
    return {
        f"{kind.value}.{path}"
        for kind in FIELDS
        for path in leaves(kind)
        if verdict_of(kind, path).standing is Standing.IN_FORCE and (kind.value, path) not in PROVEN
    }


def test_every_field_is_proven_or_said_not_to_be_in_force() -> None:
    assert sorted(unproven()) == []


def test_a_field_that_is_not_in_force_has_no_proof() -> None:
    kinds = {kind.value: kind for kind in FIELDS}
    false = [
        f"{kind}.{path}"
        for kind, path in PROVEN
        if verdict_of(kinds[kind], path).standing is not Standing.IN_FORCE
    ]
    assert not false
