"""How much expiry may take from a service."""

from __future__ import annotations

import pytest

from sidecar.registration.census import Census, Guard, group_of, serving_workloads
from store.objects.host import HostRegistration, Workload
from tests.harness.objects import registration, workload


def one(name: str, service: str = "s", **fields: object) -> Workload:
    return Workload.model_validate(workload(name, service, **fields))


@pytest.mark.parametrize("size", range(1, 10))
def test_at_most_half_is_taken_and_never_the_last(size: int) -> None:
    census = Census()
    members = [one(f"w{n}") for n in range(size)]
    for member in members:
        census.replace((), (member,))
    taken = 0
    for member in members:
        if census.guard(member) is None:
            census.take(member)
            taken += 1
    assert taken == size // 2
    assert census.serving(group_of(members[0])) == size - taken
    assert census.guard(members[-1]) is (Guard.LAST if size - taken == 1 else Guard.HALF)


def test_a_new_endpoint_fills_a_place_and_an_unchanged_one_does_not() -> None:
    census = Census()
    members = [one(f"w{n}") for n in range(4)]
    for member in members:
        census.replace((), (member,))
    census.take(members[0])
    census.take(members[1])
    assert census.guard(members[2]) is Guard.HALF
    census.replace((members[3],), (members[3],))
    assert census.guard(members[2]) is Guard.HALF
    census.replace((), (one("new"),))
    assert census.guard(members[2]) is None


def test_a_service_that_its_hosts_gave_up_is_forgotten() -> None:
    census = Census()
    member = one("w")
    census.replace((), (member,))
    census.replace((member,), ())
    assert census.serving(group_of(member)) == 0
    census.replace((), (member,))
    assert census.guard(member) is Guard.LAST


def test_a_workload_that_changes_its_service_counts_for_the_new_one() -> None:
    census = Census()
    old, new = one("w", "old"), one("w", "new")
    census.replace((), (old,))
    census.replace((old,), (new,))
    assert (census.serving(group_of(old)), census.serving(group_of(new))) == (0, 1)


def test_without_a_service_equal_labels_make_a_group() -> None:
    assert group_of(one("a", "", labels={"x": "1", "y": "2"})) == group_of(
        one("b", "", labels={"y": "2", "x": "1"})
    )
    assert group_of(one("a", "", labels={"x": "1"})) != group_of(one("a", "", labels={"x": "2"}))
    assert group_of(one("a", "reviews")) == group_of(one("b", "reviews", labels={"x": "1"}))
    assert group_of(one("a", "s")) != group_of(one("a", "s", namespace="other"))


@pytest.mark.parametrize(("state", "expected"), [("serving", ["a"]), ("draining", [])])
def test_only_what_serves_counts(state: str, expected: list[str]) -> None:
    document = registration(
        "vm-1", workload("a", "s"), workload("b", "s", state="draining"), state=state
    )
    found = serving_workloads(HostRegistration.model_validate(document))
    assert [each.name for each in found] == expected
    assert [each.service for each in found] == ["s"] * len(expected)
    assert serving_workloads(None) == ()
