"""Gossip in large meshes: real cores, simulated network, virtual time.

All members of a mesh are simulated in this one process: LAN delays of 0.2 to 2 ms, independent loss of datagrams,
no cost of CPU in virtual time. So the figures bound what the protocol does, not what a busy host makes of it; beside
real sockets and serf see `bench gossip`. All figures are of one seed and the same for the same seed, but for CPU.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Mapping
from typing import Any

from bench.report import Report, quantile
from sidecar.gossip import Identity, Status, Topic, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from tests.simulation.scale import FalseDeaths, agree_within, joined, rates, traffic
from tests.simulation.world import World

__all__ = ["NAME", "SUMMARY", "add_options", "run", "simulate", "simulate_losses"]

NAME = "gossip-scale"
SUMMARY = "gossip of 100, 1,000 and 5,000 simulated members"
LOSSES = (0.0, 0.1, 0.3)
KILLS = 5
DETECTION_S_MAX = 60.0
SPREAD_S = 10.0
STORM_MEMBERS_MAX = 1000
"""All joining at once costs the square of their number: a minute of CPU at 1,000."""
MINUTES = {100: 60.0, 1000: 10.0, 5000: 2.0}
"""Virtual minutes at each loss for which false deaths are counted, by members: a few minutes of ours each."""


def simulate(
    members: int, *, seed: int = 1, minutes: float = 10.0, loss: float = 0.0
) -> dict[str, Any]:
    """One mesh, measured.

    Args:
        members: How many; they are there already when the clock starts (each got its table in one answer).
        seed: Of everything random.
        minutes: Virtual minutes for which false deaths are counted, and traffic while nothing happens.
        loss: Share of datagrams lost, independently; of TCP segments too, which costs time there.

    Returns:
        What each key means is said beside it below; all seconds are virtual but `cpu_ms_per_s`.
    """
    deaths = FalseDeaths()
    gc.unfreeze()
    gc.collect()
    gc.disable()  # millions of rows of tables, which are no garbage
    world = joined(members, seed, checkers=[deaths])
    gc.freeze()
    gc.enable()
    world.run(20.0)
    world.net.loss = loss
    world.run(10.0)
    deaths.dead.clear()
    deaths.suspected.clear()
    counted, began_s = traffic(world), time.process_time()
    until_s = world.now_s + 60.0 * minutes
    while world.now_s < until_s:
        world.run(min(10.0, until_s - world.now_s))
        world.events.clear()  # thousands of members tell each other's changes
    cpu_s = time.process_time() - began_s
    mean, worst = rates(counted, world, 60.0 * minutes)
    false_deaths, suspicions = len(deaths.dead), len(deaths.suspected)
    hours = minutes / 60.0
    return {
        "members": members,
        "seed": seed,
        "loss": loss,
        "virtual_minutes": minutes,
        # Of the whole mesh; where none was seen, the rate is below `false_deaths_per_hour_max` (95 %).
        "false_deaths_per_hour": false_deaths / hours,
        "false_deaths_per_hour_max": _rate_max(false_deaths) / hours,
        "suspected_per_hour": suspicions / hours,
        # Of one member, sent; the same amount comes in. IP and UDP headers and sealing included.
        "idle": {
            "datagrams_per_s": round(mean.datagrams, 2),
            "bytes_per_s": round(mean.bytes, 1),
            "bytes_per_s_worst": round(worst.bytes, 1),
            "wakes_per_s": round(mean.wakes, 2),
            # Of this machine, for one member, network and sealing of the simulation included.
            "cpu_ms_per_s": round(1000 * cpu_s / (60.0 * minutes) / members, 3),
        },
        "detection": _detection(world, members),
        "news_s": _news(world),
        "record_s": _record(world),
        "join_s": _join(world),
    }


def simulate_losses(members: int, *, seed: int = 1, minutes: float | None = None) -> dict[str, Any]:
    """The same mesh at 0, 10 and 30 % loss, and all members joining at once where that is affordable."""
    minutes = _minutes(members) if minutes is None else minutes
    found = {
        f"{loss:.0%}": simulate(members, seed=seed, minutes=minutes, loss=loss) for loss in LOSSES
    }
    storm_s = _storm(members, seed) if members <= STORM_MEMBERS_MAX else None
    return {"members": members, "loss": found, "all_join_s": storm_s}


def _detection(world: World, members: int) -> dict[str, Any]:
    """Kill some one after the other: until all others hold each dead, and what that is told with."""
    everywhere_s: list[float] = []
    spread_s: list[float] = []
    missed = 0
    counted, start_s = traffic(world), world.now_s
    kills = min(KILLS, members // 4)
    for number in range(kills):
        name = f"n{(number + 1) * members // (kills + 1)}"
        world.kill(name)
        world.events.clear()
        killed_s, others = world.now_s, len(world.running())
        died_s: list[float] = []
        while len(died_s) < others and world.now_s < killed_s + DETECTION_S_MAX:
            world.run(1.0)
            died_s = [
                when_s - killed_s
                for when_s, _, change in world.changes(Status.DEAD)
                if change.identity.node == name
            ]
        missed += others - len(died_s)
        everywhere_s.append(max(died_s))
        spread_s.append(max(died_s) - min(died_s))
    mean, worst = rates(counted, world, world.now_s - start_s)
    return {
        "kills": kills,
        "dead_at_all_s": {
            "p50": round(quantile(everywhere_s, 0.5), 2),
            "worst": round(max(everywhere_s), 2),
        },
        "first_to_last_s_worst": round(max(spread_s), 2),
        # Members that had not learnt of a death after `DETECTION_S_MAX`, summed over kills.
        "missed": missed,
        # From each kill until all know; mean, and of the member that sent most.
        "bytes_per_s": round(mean.bytes, 1),
        "bytes_per_s_worst": round(worst.bytes, 1),
    }


def _news(world: World) -> dict[str, Any]:
    """Tell one member that a stranger has left: until nearly all and all know."""
    guest = Claim(Identity("guest", "10.9.9.9:7946", 5), Status.LEFT, 0)
    teller = world.hosts["n1"].core.snapshot()
    world.events.clear()
    start_s = world.now_s
    world.inject(
        "n0",
        frames.encode(
            frames.Sender(teller.identity, teller.incarnation), [frames.encode_message(guest)]
        ),
    )
    world.run(SPREAD_S)
    heard = [
        when_s - start_s
        for when_s, _, change in world.changes(Status.LEFT)
        if change.identity.node == "guest"
    ]
    return _reached(heard, len(world.running()))


def _record(world: World) -> dict[str, Any]:
    """Let one member say evidence: until nearly all and all others have it."""
    world.events.clear()
    start_s = world.now_s
    world.say("n0", Topic.EVIDENCE, bytes(200))
    world.run(SPREAD_S)
    heard = [
        when_s - start_s
        for when_s, _, effect in world.events
        if isinstance(effect, on.RecordHeard) and effect.record.node == "n0"
    ]
    return _reached(heard, len(world.running()) - 1)


def _reached(heard_s: list[float], members: int) -> dict[str, Any]:
    """When half, nearly all and all had heard; None: fewer did within `SPREAD_S`."""
    heard_s.sort()

    def by(share: float) -> float | None:
        place = math.ceil(share * members) - 1
        return round(heard_s[place], 2) if place < len(heard_s) else None

    return {
        "p50": by(0.5),
        "p99": by(0.99),
        "all": by(1.0),
        "reached_percent": round(100 * len(heard_s) / members, 2),
    }


def _join(world: World) -> float | None:
    """One newcomer, through a seed: until it and all others hold the same members."""
    world.start("newcomer")
    taken_s = agree_within(world, len(world.running()), 120.0)
    return None if taken_s is None else round(taken_s, 1)


def _storm(members: int, seed: int) -> float | None:
    """All join at once through one seed."""
    world = World(seed)
    world.seeds = lambda _: ["10.0.0.2:7946"]
    for number in range(members):
        world.start(f"n{number}")
    taken_s = agree_within(world, members, 120.0)
    return None if taken_s is None else round(taken_s, 1)


def _minutes(members: int) -> float:
    return next((MINUTES[size] for size in sorted(MINUTES) if members <= size), 1.0)


def _rate_max(seen: int) -> float:
    """Upper bound (95 %) of a Poisson mean after so many; the normal approximation from ten on."""
    exact = (3.0, 4.74, 6.3, 7.75, 9.15, 10.51, 11.84, 13.15, 14.43, 15.71)
    return exact[seen] if seen < len(exact) else seen + 1.645 * math.sqrt(seen) + 1.5


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--members", type=int, action="append", help="100, 1000 and 5000 unless told"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="virtual minutes at each loss")


def run(options: argparse.Namespace) -> Report:
    sizes = options.members or sorted(MINUTES)
    values = {
        str(size): simulate_losses(size, seed=options.seed, minutes=options.minutes)
        for size in sizes
    }
    return Report(
        values,
        (
            "members, loss",
            "dead p50 s",
            "worst s",
            "false deaths/h",
            "(95 % below)",
            "idle B/s",
            "datagrams/s",
            "B/s at deaths",
            "news p99 s",
            "record p99 s",
            "join s",
            "all join s",
            "CPU ms/s",
        ),
        [
            _row(size, loss, one, found["all_join_s"])
            for size, found in values.items()
            for loss, one in found["loss"].items()
        ],
        (
            "virtual minutes for false deaths: "
            + ", ".join(
                f"{found['loss']['0%']['virtual_minutes']:g} at {size}"
                for size, found in values.items()
            ),
            "members start with full tables, given to each in one answer; only `join` and `all join` are real joins",
            "bytes and datagrams are those that one member sends, headers and sealing included",
        ),
    )


def _row(size: str, loss: str, one: Mapping[str, Any], storm_s: float | None) -> list[object]:
    detection, idle = one["detection"], one["idle"]
    return [
        f"{size}, {loss}",
        detection["dead_at_all_s"]["p50"],
        detection["dead_at_all_s"]["worst"],
        one["false_deaths_per_hour"],
        one["false_deaths_per_hour_max"],
        idle["bytes_per_s"],
        idle["datagrams_per_s"],
        detection["bytes_per_s"],
        one["news_s"]["p99"],
        one["record_s"]["p99"],
        one["join_s"],
        storm_s if loss == "0%" else None,
        idle["cpu_ms_per_s"],
    ]
