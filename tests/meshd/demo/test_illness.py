"""Reading what sidecars say of an ejection: when it is over, and who accuses."""

from __future__ import annotations

from typing import Any

import pytest

from meshd.demo.illness import accusers, is_back, row_of

ENDPOINT = "127.0.10.2:15006"


def row(**told: Any) -> dict[str, Any]:
    plain = {"endpoint": ENDPOINT, "state": "withheld", "imposed": None, "locally_ejected": False}
    return {**plain, "witnesses": [], **told}


def test_only_the_row_of_that_endpoint_is_taken() -> None:
    answer = {"endpoints": [row(endpoint="127.0.10.3:15006"), row(state="ejected")]}
    assert row_of(answer, ENDPOINT) == row(state="ejected")
    assert row_of(answer, "127.0.10.4:15006") is None


@pytest.mark.parametrize("told", [None, row(), row(state=None)])
def test_what_nobody_holds_back_is_back(told: dict[str, Any] | None) -> None:
    assert is_back(told)


@pytest.mark.parametrize(
    "told",
    [
        row(state="pending"),
        row(state="ejected", imposed="ejected"),
        row(state="trial"),
        row(imposed="ejected"),  # passed by others, but not yet its moment here
        row(imposed="trial"),
        row(locally_ejected=True),
    ],
)
def test_what_anything_holds_back_is_not_back(told: dict[str, Any]) -> None:
    assert not is_back(told)


def test_who_says_that_it_is_well_is_no_accuser() -> None:
    witnesses = [
        {"node": "vm-1", "class": "bad"},
        {"node": "vm-2", "class": "clear"},
        {"node": "vm-3", "class": "bad"},
    ]
    assert accusers(row(witnesses=witnesses)) == ["vm-1", "vm-3"]
