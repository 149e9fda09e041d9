"""How places of gossip are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.agent.gossip_addresses import joined, parse_seed, split


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_what_is_joined_splits_again(host: str, port: int) -> None:
    assert split(joined(host, port)) == (host, port)
    assert parse_seed(joined(host, port)) == (host, port)


@pytest.mark.parametrize(
    ("seed", "found"),
    [
        ("10.0.0.1", ("10.0.0.1", 7946)),
        ("10.0.0.1:7000", ("10.0.0.1", 7000)),
        ("fd00::1", ("fd00::1", 7946)),
        ("[fd00::1]", ("fd00::1", 7946)),
        ("[fd00::1]:7000", ("fd00::1", 7000)),
        ("vm-1.example.com", ("vm-1.example.com", 7946)),
        ("dns:gossip.example.com:7000", ("gossip.example.com", 7000)),
    ],
)
def test_a_seed_is_an_address_or_a_name(seed: str, found: tuple[str, int]) -> None:
    assert parse_seed(seed) == found


@pytest.mark.parametrize("seed", ["", "dns:", ":7946", "host:0", "host:port", "a b", "x" * 300])
def test_what_is_no_seed_says_so(seed: str) -> None:
    with pytest.raises(ValueError, match=r"the seed"):
        parse_seed(seed)
