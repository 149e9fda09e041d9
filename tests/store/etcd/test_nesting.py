"""Nested requests: within etcd's counting of operations along each path, nothing lost, guards at the root."""

from __future__ import annotations

from typing import Any

import pytest

from store.etcd.nesting import WIDTHS, nested_request
from store.transactions import (
    GUARDS_MAX,
    OPERATIONS_MAX,
    Delete,
    Guard,
    Put,
    RangeGuard,
    Transaction,
)

ETCD_OPERATIONS_MAX = 128


def longest_path(request: Any) -> int:
    """What etcd counts: the operations of each level, added along the path that has most."""
    own = max(len(request.compare), len(request.success), len(request.failure))
    nested = [
        one.request_txn for one in request.success if one.WhichOneof("request") == "request_txn"
    ]
    return own + max((longest_path(one) for one in nested), default=0)


def keys_of(request: Any) -> list[bytes]:
    keys: list[bytes] = []
    for one in request.success:
        match one.WhichOneof("request"):
            case "request_txn":
                keys += keys_of(one.request_txn)
            case "request_put":
                keys.append(one.request_put.key)
            case "request_delete_range":
                keys.append(one.request_delete_range.key)
    return keys


@pytest.mark.parametrize("count", [0, 1, 100, 101, 1400, 1401, 5000, OPERATIONS_MAX])
def test_every_operation_is_in_the_request_once_and_in_order_within_etcds_limit(count: int) -> None:
    operations = tuple(
        Put(f"/{number:05}", b"v") if number % 3 else Delete(f"/{number:05}")
        for number in range(count)
    )
    guards = tuple(Guard(f"/{number}", number) for number in range(GUARDS_MAX))
    request = nested_request(Transaction(guards, operations))
    assert longest_path(request) <= ETCD_OPERATIONS_MAX
    assert keys_of(request) == [f"/{number:05}".encode() for number in range(count)]
    assert len(request.compare) == GUARDS_MAX


def test_the_limits_are_what_the_widths_allow() -> None:
    assert sum(WIDTHS) == ETCD_OPERATIONS_MAX
    assert WIDTHS[0] * WIDTHS[1] * WIDTHS[2] == OPERATIONS_MAX
    assert WIDTHS[0] == GUARDS_MAX


def test_guards_become_comparisons_of_mod_revisions() -> None:
    guards = (Guard("/a", 5), RangeGuard("/b/", "/b0", 7))
    exact, ranged = nested_request(Transaction(guards, ())).compare
    assert (exact.key, exact.mod_revision, exact.result) == (b"/a", 5, exact.EQUAL)
    assert (ranged.key, ranged.range_end, ranged.mod_revision) == (b"/b/", b"/b0", 8)
    assert ranged.result == ranged.LESS


def test_more_than_fits_is_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="guards"):
        nested_request(Transaction(tuple(Guard(f"/{n}", 0) for n in range(GUARDS_MAX + 1)), ()))
    with pytest.raises(AssertionError, match="operations"):
        nested_request(Transaction((), tuple(Delete(f"/{n}") for n in range(OPERATIONS_MAX + 1))))
