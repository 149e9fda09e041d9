"""Sizes and words of transactions."""

from __future__ import annotations

from store.transactions import Delete, Guard, GuardFailed, Put, RangeGuard, Transaction


def test_the_size_counts_keys_and_values_and_is_never_too_small() -> None:
    small = Transaction(
        (Guard("/k", 1), RangeGuard("/a", "/b", 2)), (Put("/k", b"12345"), Delete("/d"))
    )
    assert 13 < small.size_bytes() < 13 + 4 * 30
    larger = Transaction(small.guards, (*small.operations, Put("/\u00e9", bytes(1000))))
    assert larger.size_bytes() >= small.size_bytes() + 1003


def test_a_failed_guard_names_a_few_keys_and_counts_the_rest() -> None:
    one = GuardFailed((Guard("/k", 1),))
    assert "someone else wrote first, to /k; nothing was written" in str(one)
    many = GuardFailed((RangeGuard("/a", "/b", 2), *(Guard(f"/{n}", 0) for n in range(5))))
    assert "to one of /a ..., /0, /1 and 3 more" in str(many)
    assert many.exit_status == 5
