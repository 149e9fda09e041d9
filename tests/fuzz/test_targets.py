"""Every decoder of bytes of others, with bytes that Hypothesis makes up and changes: requirement 34, briefly.

`./dev fuzz` does the same for as long as one likes, guided by coverage.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

EXAMPLES = 2000 if os.environ.get("MESHD_TEST_DEEP") else 60


def _changed(examples: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """One of these, with a few bytes replaced, taken out or put in."""
    cuts = st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=6))

    def apply(example: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
        for where, out, put in changes:
            at = int(where * len(example))
            example = example[:at] + put + example[at + out :]
        return example

    return st.builds(apply, st.sampled_from(examples), st.lists(cuts, max_size=5))


def _run(run: Callable[[bytes], None], content: bytes) -> None:
    run(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_34_no_bytes_escape(name: str) -> None:
    target = TARGETS[name]
    for example in target.examples:
        target.run(example)

    @settings(max_examples=EXAMPLES)
    @given(st.one_of(st.binary(max_size=target.bytes_max), _changed(target.examples)))
    def every(content: bytes) -> None:
        target.run(content)

    every()
