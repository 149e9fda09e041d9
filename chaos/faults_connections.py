"""Faults of connections that stand: gone silent halfway, broken again and again, and a link that carries little.

A cut cable is noticed by whoever connects anew. These are what a cut does not show: a connection of which one end hears
nothing any more while new ones get through (a firewall that lost its table; apache/apisix#13067), a middlebox that
resets what stands, and a link whose queue is full.
"""

from __future__ import annotations

import random
import shutil
from functools import partial

import trio

from chaos.faults import NETWORK, Fault, Plan, every, in_thread, victim
from chaos.netns import run
from chaos.rig import Host, Rig

__all__ = ["CONNECTION_PLANS"]

CLIENT_PORT = 2379
"""Where etcd listens for clients."""
RESET_EACH_S = 0.5
SLOW_KBIT_S = 32
"""Less than a host's load takes: requests over it time out. (With 128 none failed.)"""


def _lacks_ss() -> str:
    return "" if shutil.which("ss") else "ss is not there: apt-get install iproute2"


def _lacks_tc() -> str:
    return "" if shutil.which("tc") else "tc is not there: apt-get install iproute2"


def _standing(rig: Rig, host: Host) -> list[str]:
    """The host's own ports of all connections to etcd that stand."""
    words = ("ss", "-Htn", "state", "established", "dport", "=", f":{CLIENT_PORT}")
    lines = run(*rig.network.inside(host.name, words)).splitlines()
    return [line.split()[2].rpartition(":")[2] for line in lines]


def _gone_silent(rig: Rig, rng: random.Random) -> Fault:
    """All hosts' connections to etcd that stand now carry nothing more, for good; new ones do. No request may fail.

    Nothing is healed at the end: a sidecar that does not notice by itself never converges.
    """

    def start(rig: Rig) -> None:
        rules = []
        for host in rig.hosts.values():
            ports = ", ".join(_standing(rig, host))
            if ports:
                rules += [
                    f"ip saddr {host.address} tcp dport {CLIENT_PORT} tcp sport {{ {ports} }} drop",
                    f"ip daddr {host.address} tcp sport {CLIENT_PORT} tcp dport {{ {ports} }} drop",
                ]
        rig.network.impose("etcd-silent", rules)

    return Fault(start)


def _etcd_resets(rig: Rig, rng: random.Random) -> Fault:
    """A host's connections to etcd are reset twice a second, at both ends at once."""
    host = victim(rig, rng)
    words = rig.network.inside(host.name, ("ss", "-K", "dport", "=", f":{CLIENT_PORT}"))

    async def during(rig: Rig) -> None:
        while True:
            await in_thread(partial(run, *words))
            await trio.sleep(RESET_EACH_S)

    return Fault(during=during)


def _slow_link(rig: Rig, rng: random.Random) -> Fault:
    """A host's cable carries little, in both directions: its queue fills, and what does not fit is lost."""
    host = victim(rig, rng)
    own = (host.name,)
    return Fault(
        lambda rig: rig.network.throttle(host.name, SLOW_KBIT_S),
        lambda rig: rig.network.throttle(host.name, 0),
        hosts=own,
        backends=own,
        permits=NETWORK,
    )


CONNECTION_PLANS = every(
    Plan(
        "etcd-silent",
        "connections to etcd that stand carry nothing any more, new ones do",
        _gone_silent,
        lacks=_lacks_ss,
    ),
    Plan(
        "etcd-resets",
        "a host's connections to etcd are reset again and again",
        _etcd_resets,
        lacks=_lacks_ss,
    ),
    Plan("slow-link", "a host's cable carries little", _slow_link, lacks=_lacks_tc),
)
"""Faults of connections."""
