"""Virtual addresses: from the name, one for each name, for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import HostName
from sidecar.mesh.virtual_addresses import NUMBERS, VirtualAddresses

REVIEWS = HostName("reviews.default.svc.cluster.local")


def test_every_host_chooses_the_same_address_for_a_name() -> None:
    one, other = VirtualAddresses(ipv6=True), VirtualAddresses(ipv6=True)
    other.of(HostName("ratings.default.svc.cluster.local"))
    assert one.of(REVIEWS) == other.of(REVIEWS) == ("240.240.83.223", "2001:2::5339")


def test_an_address_leads_back_to_its_name() -> None:
    addresses = VirtualAddresses(ipv6=True)
    for address in addresses.of(REVIEWS):
        assert addresses.name_at(address) == REVIEWS
    for stranger in (
        "240.240.0.0",
        "240.240.0.255",
        "10.0.0.1",
        "2001:2::",
        "255.255.255.255",
        "::1",
    ):
        assert addresses.name_at(stranger) is None


def test_what_was_given_before_is_never_given_to_another() -> None:
    first = VirtualAddresses()
    (address,) = first.of(REVIEWS)
    thief = VirtualAddresses({"thief.example": dict(first.take_new())[REVIEWS]})
    assert thief.of(HostName("thief.example")) == (address,)
    assert thief.of(REVIEWS) != (address,)


def test_new_numbers_are_told_once() -> None:
    addresses = VirtualAddresses()
    addresses.of(REVIEWS)
    assert list(addresses.take_new()) == [REVIEWS]
    addresses.of(REVIEWS)
    assert addresses.take_new() == {}


def test_wrong_numbers_on_disk_are_passed_over() -> None:
    addresses = VirtualAddresses(
        {"a.example": -1, "b.example": NUMBERS, "c.example": 7, "d.example": 7}
    )
    assert len(addresses) == 1


def test_when_all_are_taken_there_is_none_left_and_nobody_loses_any() -> None:
    addresses = VirtualAddresses({f"h{number}": number for number in range(NUMBERS - 1)})
    assert addresses.of(REVIEWS) == ("240.240.255.254",)
    assert addresses.of(HostName("late.example")) == ()
    assert addresses.of(HostName("h0")) == ("240.240.0.1",)


@given(names=st.lists(st.text("abc.", min_size=1, max_size=6), max_size=60))
def test_no_two_names_share_an_address(names: list[str]) -> None:
    addresses = VirtualAddresses()
    found = {name: addresses.of(HostName(name)) for name in names}
    assert len(set(found.values())) == len(found)
    again = VirtualAddresses(dict(addresses.take_new()))
    assert {name: again.of(HostName(name)) for name in reversed(names)} == found
