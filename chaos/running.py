"""One run: a rig, load and writers on it, faults one after another or together, healing, and the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from chaos import history as records
from chaos import objects
from chaos.faults import Fault, Plan
from chaos.history import FaultSpan, History, Probe, Request, Served
from chaos.netns import ChaosError, run
from chaos.observing import Observer
from chaos.rig import Rig
from chaos.verdict import Verdict, judge
from chaos.writers import Writers

__all__ = ["Scenario", "only_of_the_rig", "run_scenario"]

ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run."""
CALM_S = 4.0
"""Load without a fault, before the first one."""
SETTLE_S = 14.0
"""After the last healing, without writers: time to converge, and to see that it stays so."""
HEALED_WITHIN_S = 60.0
"""How long etcd may take to have a leader again once its fault is healed; the mesh's time begins then."""


@dataclass(frozen=True)
class Scenario:
    """What happens: each step is a set of faults that are there together."""

    name: str
    title: str
    steps: Sequence[Sequence[Plan]]


def run_scenario(scenario: Scenario, *, seed: int, hosts: int, rate: float, out: Path) -> Verdict:
    """Run it, write records and verdict down, and clean up whatever happens.

    Raises:
        ChaosError: The rig did not come up, or a fault could not be brought about.
    """
    _make_empty(out)
    rig = Rig(f"{os.getpid():x}", hosts, rate)
    history = History()
    try:
        rig.open()
        history.etcd = rig.etcd_version()
        try:
            trio.run(_play, rig, history, scenario, seed)
        except BaseExceptionGroup as several:
            raise only_of_the_rig(several) from several
        _collect(rig, history)
    finally:
        with _undisturbed():
            history.left_behind = rig.close()
            _keep_logs(rig, out / "logs")
            rig.remove()
    verdict = judge(history)
    records.store(history, out / "records")
    (out / "verdict.json").write_text(json.dumps(verdict.as_json(), indent=1) + "\n", "utf-8")
    return verdict


def only_of_the_rig(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Troubles of the rig as one, an interruption as that; anything else as it is."""
    if several.subgroup(KeyboardInterrupt) is not None:
        return KeyboardInterrupt()
    ours, others = several.split(ChaosError)
    if ours is None or others is not None:
        return several
    return ChaosError("; ".join(str(one) for one in _leaves(ours)))


def _leaves(several: BaseExceptionGroup[ChaosError]) -> Iterator[BaseException]:
    for one in several.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


async def _play(rig: Rig, history: History, scenario: Scenario, seed: int) -> None:
    rng = random.Random(seed)
    writers = Writers(rig, history, seed)
    async with trio.open_nursery() as watching:
        watching.start_soon(_until_interrupted)
        watching.start_soon(Observer(rig, history).run)
        async with trio.open_nursery() as writing:
            writing.start_soon(writers.run)
            await trio.sleep(CALM_S)
            for step in scenario.steps:
                await _step(rig, history, [plan for plan in step if not plan.lacks()], rng)
            writing.cancel_scope.cancel()
        await trio.to_thread.run_sync(
            rig.until, rig.is_etcd_healthy, "etcd to be healthy again", HEALED_WITHIN_S
        )
        history.healed_s = time.monotonic()
        await trio.sleep(SETTLE_S)
        await writers.settle()
        history.served += await trio.to_thread.run_sync(_served, rig)
        history.members = await trio.to_thread.run_sync(rig.etcd_hashes)
        watching.cancel_scope.cancel()
    history.ended_s = time.monotonic()
    history.load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)


async def _until_interrupted() -> None:
    """End the run at a signal, as ^C does: but where trio can take it."""
    with trio.open_signal_receiver(*ENDED_BY) as signals:
        async for _ in signals:
            raise KeyboardInterrupt


async def _step(rig: Rig, history: History, plans: Sequence[Plan], rng: random.Random) -> None:
    """All faults of a step begin within two seconds, and end in the order that chance gives."""
    made = [(plan, plan.make(rig, rng)) for plan in plans]
    async with trio.open_nursery() as nursery:
        for plan, fault in made:
            delay_s = rng.random() * 2 if len(made) > 1 else 0.0
            lasts_s = plan.lasts_s * (0.8 + 0.4 * rng.random() if len(made) > 1 else 1.0)
            nursery.start_soon(_fault, rig, history, plan, fault, delay_s, lasts_s)


async def _fault(
    rig: Rig, history: History, plan: Plan, fault: Fault, delay_s: float, lasts_s: float
) -> None:
    await trio.sleep(delay_s)
    began_s = time.monotonic()
    await trio.to_thread.run_sync(fault.start, rig)
    try:
        with trio.move_on_after(lasts_s):
            await fault.during(rig)
            if not plan.is_over_by_itself:
                await trio.sleep_forever()
    finally:
        healing_s = time.monotonic()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(fault.stop, rig)
        history.faults.append(
            FaultSpan(
                plan.name,
                began_s,
                time.monotonic(),
                fault.hosts,
                fault.backends,
                fault.permits,
                fault.restarts,
                fault.new_epoch,
                healing_s,
                fault.felt_s,
            )
        )


def _served(rig: Rig) -> list[Served]:
    """What each host answers for each register, by its own listener."""
    found = []
    for host in rig.hosts.values():
        for key in objects.KEYS:
            command = ["curl", "-sS", "-m", "5", "-H", f"Host: {key}.example.com", host.listener]
            try:
                value = run(*rig.network.inside(host.name, command))
            except ChaosError:
                value = ""
            found.append(Served(time.monotonic(), host.name, key, value))
    return found


def _collect(rig: Rig, history: History) -> None:
    """The records of the load, which its processes wrote."""
    for host in rig.hosts.values():
        host.client.stop()
        for line in (rig.folder / f"requests-{host.name}.jsonl").read_text("utf-8").splitlines():
            history.requests.append(Request(**json.loads(line)))
        for line in (rig.folder / f"probes-{host.name}.jsonl").read_text("utf-8").splitlines():
            history.probes.append(Probe(**json.loads(line)))
    if not history.requests:
        raise ChaosError("the load sent no request: nothing is shown by this run")


def _make_empty(out: Path) -> None:
    """A folder for the run's records, without those of an earlier one."""
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
    except OSError as problem:
        raise ChaosError(
            f"{out} cannot be written: {problem}; name another folder by --out"
        ) from problem


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second ^C does not keep the first one from cleaning up."""
    before = [signal.signal(number, signal.SIG_IGN) for number in ENDED_BY]
    try:
        yield
    finally:
        for number, handler in zip(ENDED_BY, before, strict=True):
            signal.signal(number, handler)


def _keep_logs(rig: Rig, logs: Path) -> None:
    with contextlib.suppress(OSError):  # a rig that did not come up has none
        shutil.copytree(rig.folder / "logs", logs, dirs_exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    for name in rig.etcd:
        file = rig.folder / f"{name}.log"
        if file.exists():
            shutil.copy(file, logs)
    for name in rig.hosts:
        envoy = rig.folder / "data" / name / "envoy.log"
        if envoy.exists():
            shutil.copy(envoy, logs / f"{name}-envoy.log")
