"""Rules of capture, as nftables reads them: transcripts, and the kernel's own check where there is one."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.capture.plan import CapturePlan, Cgroup, Inbound, Outbound, Selection
from sidecar.capture.ranges import parse_network, parse_ports
from sidecar.capture.ruleset import removal, ruleset
from tests.harness.transcripts import Command, check_transcript

SCRIPTS = Path(__file__).parent / "transcripts"


def plan_of(command: Command) -> CapturePlan:
    """The plan that a transcript's options and lines (one context each) describe."""
    selections = tuple(_selection(line) for line in command.lines)
    many = {name: tuple(text.split(",")) for name, text in command.options.items() if text}
    outbound = Outbound(
        include_ports=tuple(map(parse_ports, many.get("only_ports", ()))),
        exclude_ports=tuple(map(parse_ports, many.get("not_ports", ()))),
        include_ranges=tuple(map(parse_network, many.get("only", ()))),
        exclude_ranges=tuple(map(parse_network, many.get("not", ()))),
        loopback=command.option("loopback") == "yes",
    )
    ports = tuple(map(parse_ports, many.get("inbound", ())))
    return CapturePlan(
        selections=selections,
        own_users=(997,),
        own_ports=(15001, 15101, 15190),
        outbound=None if command.option("outbound") == "no" else outbound,
        inbound=Inbound(15190, ports) if ports else None,
        dns="dns" in command.options,
        dns_servers=tuple(ip_address(one) for one in many.get("dns", ()) if one != "all"),
        enforce=command.option("enforce") == "yes",
    )


def _selection(line: str) -> Selection:
    """`name port users=1,2 groups=3 cgroups=a/b`."""
    name, port, *rest = line.split()
    given = dict(word.split("=") for word in rest)
    numbers = {
        key: tuple(int(n) for n in given.get(key, "").split(",") if n)
        for key in ("users", "groups")
    }
    cgroups = tuple(Cgroup(path) for path in given.get("cgroups", "").split(",") if path)
    return Selection(
        "" if name == "-" else name, int(port), int(port) + 52, cgroups=cgroups, **numbers
    )


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path, request: pytest.FixtureRequest) -> None:
    rewrite = bool(request.config.getoption("--rewrite"))
    check_transcript(path, lambda command: ruleset(plan_of(command)), rewrite=rewrite)


def test_removal_is_the_beginning_of_every_installation() -> None:
    plan = CapturePlan((Selection("", 15101),), own_users=(997,), outbound=Outbound())
    assert ruleset(plan).startswith(removal())


@pytest.mark.root
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not on this machine")
def test_the_kernel_takes_every_rule_that_can_be_said() -> None:
    plan = CapturePlan(
        selections=(
            Selection("web", 15101, 15153, users=(1000, 1001)),
            Selection("batch", 15102, 15154, groups=(50,)),
            Selection("rest", 15103, 15155),
        ),
        own_users=(997,),
        own_groups=(998,),
        own_ports=(15001,),
        outbound=Outbound(
            include_ports=(parse_ports("1-60000"),),
            exclude_ports=(parse_ports("22"), parse_ports("20-30")),
            include_ranges=(parse_network("0.0.0.0/0"),),
            exclude_ranges=(
                parse_network("10.0.0.0/8"),
                parse_network("10.1.0.0/16"),
                parse_network("fd00::/8"),
            ),
            loopback=True,
        ),
        inbound=Inbound(15190, (parse_ports("9080"),)),
        dns=True,
        dns_servers=(ip_address("10.0.0.53"), ip_address("fd00::53")),
        enforce=True,
    )
    checked = subprocess.run(
        ["nft", "-c", "-f", "-"], input=ruleset(plan), text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
