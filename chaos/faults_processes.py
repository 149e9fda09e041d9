"""Faults of processes: sidecars, Envoys and applications killed, paused, slow, ill."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
from functools import partial

import trio

from chaos.faults import NETWORK, Fault, Plan, all_etcd, every, in_thread, victim
from chaos.netns import cut
from chaos.rig import ETCD, Rig

__all__ = ["PROCESS_PLANS"]

ENVOY_GONE = ("refused", "reset", "timeout", "unreachable", "none")
BACKEND_GONE = ("unreachable", "none", "timeout", "5xx")
SLOW_S = 0.7
RUNS_S, STANDS_S = 0.01, 0.19
"""A twentieth of a processor: 10 ms of each 200."""
BACK_S = 3.0
"""By then an Envoy that was killed serves again."""


def _sidecar_killed(rig: Rig, rng: random.Random) -> Fault:
    """Killed, and started again at once; then left dead for a while. Its Envoy serves on."""
    host = victim(rig, rng)

    async def during(rig: Rig) -> None:
        for _ in range(3):
            await trio.sleep(1.5)
            host.sidecar.start()
            await trio.sleep(1.5)
            await in_thread(host.sidecar.kill)

    def stop(rig: Rig) -> None:
        host.sidecar.start()

    return Fault(lambda rig: host.sidecar.kill(), stop, during, restarts=(f"sidecar@{host.name}",))


def _restarted_alone(rig: Rig, rng: random.Random) -> Fault:
    """All of etcd is gone; a sidecar and its Envoy are killed, and start from what the disk and peers have."""
    host = victim(rig, rng)

    def start(rig: Rig) -> None:
        for member in rig.etcd.values():
            member.kill()
        host.sidecar.kill()
        pid = host.envoy_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        host.sidecar.start()

    def stop(rig: Rig) -> None:
        for member in rig.etcd.values():
            member.start()

    names = (f"sidecar@{host.name}", f"envoy@{host.name}", *(f"etcd@{one}" for one in ETCD))
    own = (host.name,)
    return Fault(start, stop, hosts=own, backends=own, permits=ENVOY_GONE, restarts=names)


def _restarted_cut_off(rig: Rig, rng: random.Random) -> Fault:
    """A host starts anew while it reaches nobody, neither etcd nor a peer: its disk is all that it has."""
    host = victim(rig, rng)
    others = [name for name in rig.hosts if name != host.name]
    rules = cut(rig.addresses([host.name]), [*rig.addresses(others), *all_etcd(rig)])

    def start(rig: Rig) -> None:
        rig.network.impose("restarted-cut-off", rules)
        host.sidecar.kill()
        pid = host.envoy_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        host.sidecar.start()

    own = (host.name,)
    return Fault(
        start,
        lambda rig: rig.network.lift("restarted-cut-off"),
        hosts=own,
        backends=own,
        permits=(*ENVOY_GONE, *NETWORK),
        restarts=(f"sidecar@{host.name}", f"envoy@{host.name}"),
    )


def _sidecar_paused(rig: Rig, rng: random.Random) -> Fault:
    host = victim(rig, rng)
    return Fault(
        lambda rig: host.sidecar.signal(signal.SIGSTOP),
        lambda rig: host.sidecar.signal(signal.SIGCONT),
    )


def _starved(rig: Rig, rng: random.Random) -> Fault:
    """A sidecar gets a twentieth of a processor. Its Envoy has its own: no request may fail.

    Together with `sidecar-paused` on one host this one prevails: the other stands still no more.
    """
    host = victim(rig, rng)

    async def during(rig: Rig) -> None:
        while True:
            host.sidecar.signal(signal.SIGSTOP)
            await trio.sleep(STANDS_S)
            host.sidecar.signal(signal.SIGCONT)
            await trio.sleep(RUNS_S)

    return Fault(stop=lambda rig: host.sidecar.signal(signal.SIGCONT), during=during)


def _envoy_signalled(number: signal.Signals, rig: Rig, rng: random.Random) -> Fault:
    """Requests of this host fail, and those that its Envoy was to let in."""
    host = victim(rig, rng)

    def send(number: signal.Signals, rig: Rig) -> None:
        pid = host.envoy_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    stop = partial(send, signal.SIGCONT) if number is signal.SIGSTOP else lambda rig: None
    own, is_killed = (host.name,), number is signal.SIGKILL
    return Fault(
        partial(send, number),
        stop,
        hosts=own,
        backends=own,
        permits=ENVOY_GONE,
        felt_s=BACK_S if is_killed else math.inf,
        restarts=(f"envoy@{host.name}",) if is_killed else (),
    )


def _backend_killed(rig: Rig, rng: random.Random) -> Fault:
    host = victim(rig, rng)
    return Fault(
        lambda rig: host.app.kill(),
        lambda rig: host.app.start(),
        backends=(host.name,),
        permits=BACKEND_GONE,
        restarts=(f"app@{host.name}",),
    )


def _backend_paused(rig: Rig, rng: random.Random) -> Fault:
    host = victim(rig, rng)
    return Fault(
        lambda rig: host.app.signal(signal.SIGSTOP),
        lambda rig: host.app.signal(signal.SIGCONT),
        backends=(host.name,),
        permits=BACKEND_GONE,
    )


def _backend_told(word: str, rig: Rig, rng: random.Random) -> Fault:
    host = victim(rig, rng)
    return Fault(
        lambda rig: host.tell(word),
        lambda rig: host.tell("ok"),
        backends=(host.name,),
        permits=() if word.startswith("slow") else BACKEND_GONE,
    )


def _most_backends_told(word: str, rig: Rig, rng: random.Random) -> Fault:
    """Three of four applications are ill: no cap may be broken over it."""
    names = rng.sample(sorted(rig.hosts), max(1, len(rig.hosts) * 3 // 4))

    def tell(word: str) -> None:
        for name in names:
            rig.hosts[name].tell(word)

    return Fault(
        lambda rig: tell(word),
        lambda rig: tell("ok"),
        backends=tuple(names),
        permits=BACKEND_GONE,
    )


PROCESS_PLANS = every(
    Plan("sidecar-killed", "a sidecar is killed again and again", _sidecar_killed),
    Plan(
        "restarted-without-etcd",
        "a host's sidecar and Envoy are killed and start while etcd is gone",
        _restarted_alone,
        lasts_s=15.0,
    ),
    Plan(
        "restarted-cut-off",
        "a host's sidecar and Envoy are killed and start while it reaches nobody",
        _restarted_cut_off,
        lasts_s=15.0,
        is_lone=True,  # what a disk has shows while nothing else happens
    ),
    Plan("sidecar-paused", "a sidecar stands still", _sidecar_paused),
    Plan("sidecar-starved", "a sidecar gets a twentieth of a processor", _starved),
    Plan("envoy-killed", "an Envoy is killed", partial(_envoy_signalled, signal.SIGKILL)),
    Plan("envoy-paused", "an Envoy stands still", partial(_envoy_signalled, signal.SIGSTOP)),
    Plan("backend-killed", "an application is killed", _backend_killed),
    Plan("backend-paused", "an application stands still", _backend_paused),
    Plan("backend-slow", "an application is slow", partial(_backend_told, f"slow {SLOW_S}")),
    Plan("backend-5xx", "an application answers 500", partial(_backend_told, "5xx")),
    Plan(
        "backend-5xx-briefly",
        "an application answers 500 for a moment",
        partial(_backend_told, "5xx"),
        lasts_s=3.0,
    ),
    Plan("backend-hanging", "an application never answers", partial(_backend_told, "hang")),
    Plan("backend-resetting", "an application breaks connections", partial(_backend_told, "reset")),
    Plan("backends-most-5xx", "most applications answer 500", partial(_most_backends_told, "5xx")),
)
"""Faults of processes."""
