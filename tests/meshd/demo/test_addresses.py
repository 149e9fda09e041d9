"""Ranges of loopback addresses and ports: nobody gets what another has."""

from __future__ import annotations

import socket

from meshd.demo.addresses import FIRST, LAST, claim_subnet


def test_two_demos_get_different_ranges() -> None:
    first, second = claim_subnet(), claim_subnet()
    assert first.address(1) != second.address(1)
    first.close()
    second.close()


def test_a_range_that_is_given_back_can_be_had_again() -> None:
    for _ in range(2 * (LAST - FIRST + 1)):
        claim_subnet().close()


def test_a_wanted_port_is_given_once_and_then_another() -> None:
    subnet = claim_subnet()
    address = subnet.address(7)
    with socket.socket() as probe:
        probe.bind((address, 0))
        wanted = int(probe.getsockname()[1])
    first = subnet.port(address, wanted)
    second = subnet.port(address, wanted)
    subnet.close()
    assert first == wanted
    assert second not in (0, wanted)


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    subnet = claim_subnet()
    address = subnet.address(7)
    with socket.socket() as holder:
        holder.bind((address, 0))
        holder.listen()
        taken = int(holder.getsockname()[1])
        assert subnet.port(address, taken) != taken
    subnet.close()


def test_hosts_may_have_the_same_port() -> None:
    subnet = claim_subnet()
    with socket.socket() as probe:
        probe.bind((subnet.address(8), 0))
        wanted = int(probe.getsockname()[1])
    ports = {subnet.port(subnet.address(8), wanted), subnet.port(subnet.address(9), wanted)}
    subnet.close()
    assert ports == {wanted}
