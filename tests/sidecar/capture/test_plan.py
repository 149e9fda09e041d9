"""Plans that can be told to the kernel, and those that cannot."""

from __future__ import annotations

import pytest

from sidecar.capture.plan import CapturePlan, Cgroup, Inbound, Outbound, Selection, problems
from sidecar.capture.ranges import parse_network, parse_ports


def test_without_a_user_of_its_own_the_sidecar_would_capture_itself() -> None:
    plan = CapturePlan((Selection("", 15101),), outbound=Outbound())
    assert "go round for ever" in problems(plan)[0]


def test_all_problems_are_told_at_once() -> None:
    plan = CapturePlan(
        (
            Selection("a", 1, users=(7, 8), cgroups=(Cgroup("x"),)),
            Selection("b", 2, users=(7,), cgroups=(Cgroup("x"),)),
            Selection("c", 3),
            Selection("d", 4),
        ),
        own_users=(8,),
        outbound=Outbound(),
        inbound=Inbound(5, ()),
        dns=True,
    )
    assert problems(plan) == (
        "no inbound port is named, and no local workload has one",
        "context c and context d both have everybody: name users, groups or control groups",
        "user 7 is in context a and context b",
        "control group x is in context a and context b",
        "user 8 of context a is the sidecar's own: give the sidecar a user of its own",
        "context a has no port for DNS",
        "context b has no port for DNS",
        "context c has no port for DNS",
        "context d has no port for DNS",
    )


def test_a_plan_of_nothing_is_a_problem() -> None:
    assert problems(CapturePlan((Selection("", 1),), own_users=(7,))) == (
        "neither outbound, inbound nor DNS traffic is to be captured: nothing is left to do",
    )


def test_depth_of_a_control_group_is_that_of_its_path() -> None:
    assert (Cgroup("a").level, Cgroup("a/b.slice/c").level) == (1, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http", "neither a port nor a range"),
        ("0", "ports are 1 to 65535"),
        ("70000", "ports are 1 to 65535"),
        ("90-80", "begins with its lower end: 80-90"),
        ("1-", "neither a port nor a range"),
    ],
)
def test_a_wrong_port_says_what_is_right(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_ports(text)


@pytest.mark.parametrize(
    ("text", "said"), [("10.0.0.1/8", "write 10.0.0.0/8"), ("example.com", "neither an IP address")]
)
def test_a_wrong_range_says_what_is_right(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_network(text)


def test_ports_within_a_range() -> None:
    assert 8050 in parse_ports("8000-8100")
    assert 8101 not in parse_ports("8000-8100")
