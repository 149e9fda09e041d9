"""Faults of whole hosts: a clock that is set, sidecars of an earlier version, another gossip key."""

from __future__ import annotations

import base64
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import trio

from chaos.faults import Fault, Plan, every, in_thread, victim
from chaos.netns import ChaosError
from chaos.rig import GOSSIP, Host, Rig

__all__ = ["HOST_PLANS"]

EARLIER = "HEAD~60"
"""The commit whose sidecars are mixed with those of today."""
TOP = Path(__file__).parents[1]
CLOCK_STEPS_S = (3600, -3600, 86_400 * 400, 0)
"""How far ahead of the true time the clock is, one after another."""
_FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


def _faketime() -> str:
    found = sorted(Path("/").glob(_FAKETIME[1:]))
    return str(found[0]) if found else ""


def _lacks_faketime() -> str:
    return "" if _faketime() else "libfaketime is not there: apt-get install faketime"


def _clock_jump(rig: Rig, rng: random.Random) -> Fault:
    """A sidecar's wall clock is set: an hour ahead, an hour back, a year ahead. Monotonic time goes on as it did."""
    host = victim(rig, rng)
    clock = rig.folder / f"clock-{host.name}"

    def start(rig: Rig) -> None:
        clock.write_text("+0\n", "ascii")
        _restart(
            rig,
            host,
            {
                "LD_PRELOAD": _faketime(),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            },
        )

    async def during(rig: Rig) -> None:
        for ahead_s in CLOCK_STEPS_S:
            clock.write_text(f"{ahead_s:+d}\n", "ascii")
            await trio.sleep(4.0)

    return Fault(
        start, lambda rig: _restart(rig, host, {}), during, restarts=(f"sidecar@{host.name}",)
    )


def _lacks_history() -> str:
    known = subprocess.run(
        ["git", "-C", str(TOP), "rev-parse", "--verify", "--quiet", f"{EARLIER}^{{commit}}"],
        capture_output=True,
        check=False,
    )
    return "" if known.returncode == 0 else f"the history of the sources does not reach {EARLIER}"


def _mixed_versions(rig: Rig, rng: random.Random) -> Fault:
    """Half of the sidecars are of an earlier version for a while: an upgrade that takes its time, or is taken back."""
    names = sorted(rng.sample(sorted(rig.hosts), len(rig.hosts) // 2))
    sources = rig.folder / "earlier"

    def start(rig: Rig) -> None:
        if not sources.exists():
            sources.mkdir()
            archive = subprocess.run(
                ["git", "-C", str(TOP), "archive", EARLIER], capture_output=True, check=False
            )
            if archive.returncode:
                raise ChaosError(f"git archive {EARLIER}: {archive.stderr.decode()}")
            subprocess.run(
                ["tar", "-x", "-C", str(sources)], input=archive.stdout, check=True, text=False
            )
        for name in names:
            rig.hosts[name].sidecar.folder = sources
            _restart(rig, rig.hosts[name], {"PYTHONPATH": str(sources)})

    def stop(rig: Rig) -> None:
        for name in names:
            rig.hosts[name].sidecar.folder = None
            _restart(rig, rig.hosts[name], {})

    return Fault(start, stop, restarts=tuple(f"sidecar@{name}" for name in names))


def _wrong_key(rig: Rig, rng: random.Random) -> Fault:
    """A host starts with a gossip key that no other host has: it is alone, and serves on from etcd."""
    host = victim(rig, rng)
    keys = rig.folder / f"wrong-{host.name}.keys"

    def restart(**gossip: str) -> None:
        host.sidecar.kill()
        told = {"key_file": str(rig.folder / "gossip.keys"), "port": GOSSIP, **gossip}
        host.configure(rig.endpoints, gossip=told)
        host.sidecar.start()

    def start(rig: Rig) -> None:
        keys.touch(mode=0o600)
        keys.write_text(base64.b64encode(os.urandom(32)).decode() + "\n", "utf-8")
        restart(key_file=str(keys))

    return Fault(start, lambda rig: restart(), restarts=(f"sidecar@{host.name}",))


def _rolling(rig: Rig, rng: random.Random) -> Fault:
    """All sidecars are restarted one after another, as an upgrade does; no request may fail."""

    async def during(rig: Rig) -> None:
        for host in rig.hosts.values():
            await in_thread(lambda host=host: _restart(rig, host, {}))  # type: ignore[misc]

    def stop(rig: Rig) -> None:
        for host in rig.hosts.values():
            host.sidecar.start()

    names = tuple(f"sidecar@{name}" for name in rig.hosts)
    return Fault(stop=stop, during=during, restarts=names)


def _restart(rig: Rig, host: Host, environment: Mapping[str, str]) -> None:
    """End a sidecar as its unit does, start it with this environment, and wait until it serves."""
    host.sidecar.stop()
    host.sidecar.environment = environment
    host.sidecar.start()
    rig.until(host.is_in_force, f"{host.name} to serve")


HOST_PLANS = every(
    Plan(
        "clock-jump",
        "the wall clock of a sidecar is set, hours and a year off",
        _clock_jump,
        lasts_s=40.0,
        is_over_by_itself=True,
        lacks=_lacks_faketime,
    ),
    Plan(
        "mixed-versions",
        "half of the sidecars are of an earlier version",
        _mixed_versions,
        lacks=_lacks_history,
    ),
    Plan("wrong-keys", "a host has another gossip key", _wrong_key),
    Plan(
        "rolling-restart",
        "all sidecars are restarted in turn",
        _rolling,
        lasts_s=90.0,
        is_over_by_itself=True,
    ),
)
"""Faults of hosts."""
