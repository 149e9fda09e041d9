"""How a `Transaction` becomes one etcd request, whatever its size: etcd allows 128 operations a transaction.

Operations nest as a tree: a transaction of transactions of transactions of puts. etcd counts along each path from
the root (`checkTxnRequest`, v3.5): what a level uses, its nested levels no longer have. So the root may have 100
operations and 100 guards, the two levels under it 14 each: 19,600 operations in all.

All guards stand at the root. Nested guards would not do: a nested transaction whose guard fails writes nothing
itself, but its neighbours do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.etcd.stubs import rpc
from store.transactions import (
    GUARDS_MAX,
    OPERATIONS_MAX,
    Delete,
    Guard,
    Put,
    RangeGuard,
    Transaction,
)

__all__ = ["nested_request"]

WIDTHS = (100, 14, 14)
"""Operations of one transaction at the root and at the levels under it; together 128, etcd's `--max-txn-ops`."""


def nested_request(transaction: Transaction) -> Any:
    """The TxnRequest for `transaction`, which must be within GUARDS_MAX and OPERATIONS_MAX."""
    assert len(transaction.guards) <= GUARDS_MAX, "more guards than one request takes"
    assert len(transaction.operations) <= OPERATIONS_MAX, "more operations than one request takes"
    operations = [_operation(operation) for operation in transaction.operations]
    for width in reversed(WIDTHS[1:]):
        if len(operations) <= WIDTHS[0]:
            break
        operations = [
            rpc.RequestOp(request_txn=rpc.TxnRequest(success=part))
            for part in _parts(operations, width)
        ]
    return rpc.TxnRequest(
        compare=[_comparison(guard) for guard in transaction.guards], success=operations
    )


def _comparison(guard: Guard | RangeGuard) -> Any:
    if isinstance(guard, Guard):
        return rpc.Compare(
            key=_bytes(guard.key),
            target=rpc.Compare.MOD,
            result=rpc.Compare.EQUAL,
            mod_revision=guard.mod_revision,
        )
    return rpc.Compare(
        key=_bytes(guard.start),
        range_end=_bytes(guard.end),
        target=rpc.Compare.MOD,
        result=rpc.Compare.LESS,
        mod_revision=guard.newest + 1,
    )


def _operation(operation: Put | Delete) -> Any:
    key = _bytes(operation.key)
    if isinstance(operation, Delete):
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
    return rpc.RequestOp(
        request_put=rpc.PutRequest(key=key, value=operation.value, lease=operation.lease)
    )


def _parts(whole: Sequence[Any], width: int) -> list[Sequence[Any]]:
    return [whole[start : start + width] for start in range(0, len(whole), width)]


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
