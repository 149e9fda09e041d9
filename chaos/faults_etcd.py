"""Faults of etcd: members killed, paused, compacted, defragmented, replaced, restored, full. Requests never notice."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from chaos.faults import Fault, Plan, all_etcd, every, in_thread
from chaos.netns import ChaosError, cut, run
from chaos.rig import ETCD, LEASE_S, QUOTA_BYTES, Rig
from chaos.room import fill

__all__ = ["ETCD_PLANS", "leader_of"]

BACKUP_AGE_S = 6.0
"""How old the backup is when etcd is restored from it."""
INSIST_S = 90.0
FILL_S = 20.0
"""How long the quota is tried to be used up, where etcd is not to be reached."""
JUNK_BYTES = 1_000_000
"""Of each value that uses the quota up; etcd takes 1.5 MiB in a request."""


def leader_of(rig: Rig) -> str:
    """The member that leads; any, where none says so."""
    for name in ETCD:
        with contextlib.suppress(ChaosError, ValueError, KeyError, IndexError):
            out = run(*rig.etcdctl("endpoint", "status", "-w", "json", member=name))
            status = json.loads(out)[0]["Status"]
            if status["leader"] == status["header"]["member_id"]:
                return name
    return ETCD[0]


def _killed(names: Sequence[str]) -> Fault:
    def start(rig: Rig) -> None:
        for name in names:
            rig.etcd[name].kill()

    def stop(rig: Rig) -> None:
        for name in names:
            rig.etcd[name].start()

    return Fault(start, stop, restarts=tuple(f"etcd@{name}" for name in names))


def _leader(rig: Rig, rng: random.Random) -> Fault:
    return _killed([leader_of(rig)])


def _some(count: int, rig: Rig, rng: random.Random) -> Fault:
    return _killed(rng.sample(ETCD, count))


def _paused(rig: Rig, rng: random.Random) -> Fault:
    """All members stand still for longer than the leases live: when they resume, every registration is gone."""

    def start(rig: Rig) -> None:
        for member in rig.etcd.values():
            member.signal(signal.SIGSTOP)

    def stop(rig: Rig) -> None:
        for member in rig.etcd.values():
            member.signal(signal.SIGCONT)

    return Fault(start, stop)


def _compacted(rig: Rig, rng: random.Random) -> Fault:
    """A host is away; meanwhile the history that it would resume from is thrown away."""
    victim = rng.choice(sorted(rig.hosts))
    rules = cut(rig.addresses([victim]), [*all_etcd(rig)])

    def stop(rig: Rig) -> None:
        _insist(rig, lambda: _compact(rig), "etcd to be compacted")
        rig.network.lift("compacted")

    return Fault(lambda rig: rig.network.impose("compacted", rules), stop)


def _compact(rig: Rig) -> None:
    out = run(*rig.etcdctl("get", "x", "-w", "json"))
    run(*rig.etcdctl("compact", str(json.loads(out)["header"]["revision"])))


def _insist(rig: Rig, deed: Callable[[], object], what: str) -> None:
    """Do something that needs etcd: another fault may have it away, and is healed in its own time."""

    def is_done() -> bool:
        with contextlib.suppress(ChaosError):
            deed()
            return True
        return False

    rig.until(is_done, what, INSIST_S)


async def _defragment(rig: Rig) -> None:
    """One member after another; those that another fault has away are passed over."""
    for name in ETCD:
        with contextlib.suppress(ChaosError):
            await in_thread(lambda name=name: run(*rig.etcdctl("defrag", member=name)))  # type: ignore[misc]


def _defragmented(rig: Rig, rng: random.Random) -> Fault:
    return Fault(start=lambda rig: None, during=_defragment)


def _replaced(rig: Rig, rng: random.Random) -> Fault:
    """A member is lost with its disk; another takes its place."""
    name = rng.choice(ETCD)

    def start(rig: Rig) -> None:
        rig.etcd[name].kill()
        shutil.rmtree(rig.etcd_data(name) / "etcd")

    def stop(rig: Rig) -> None:
        rest = ",".join(f"http://{rig.network.address(one)}:2379" for one in ETCD if one != name)
        peer = f"http://{rig.network.address(name)}:2380"
        _insist(rig, lambda: _renew_member(rig, rest, name, peer), f"{name} to be a member again")
        flags = rig.member_flags(name, state="existing")
        program = rig.etcd[name].command[4]
        rig.etcd[name].command = rig.network.inside(name, [program, *flags])
        rig.etcd[name].start()

    return Fault(start, stop, restarts=(f"etcd@{name}",))


def _renew_member(rig: Rig, endpoints: str, name: str, peer: str) -> None:
    """Take the lost member out, where it is still in, and a new one in."""
    out = run(*_against(rig, endpoints, "member", "list", "-w", "json"))
    members = {one.get("name"): one["ID"] for one in json.loads(out)["members"]}
    if name in members:
        run(*_against(rig, endpoints, "member", "remove", f"{members[name]:x}"))
    run(*_against(rig, endpoints, "member", "add", name, f"--peer-urls={peer}"))


def _against(rig: Rig, endpoints: str, *words: str) -> list[str]:
    command = rig.etcdctl(*words)
    return [endpoints if command[n - 1] == "--endpoints" else one for n, one in enumerate(command)]


def _restored(rig: Rig, rng: random.Random) -> Fault:
    """The whole cluster is restored from a snapshot taken a moment ago: another life of etcd."""
    file = rig.folder / "snapshot.db"

    def start(rig: Rig) -> None:
        file.unlink(missing_ok=True)
        run(*rig.etcdctl("snapshot", "save", str(file), member=ETCD[0]))

    def end(rig: Rig) -> None:
        for name in ETCD:
            rig.etcd[name].kill()

    async def during(rig: Rig) -> None:
        # The life before is over when the healing begins: what it answers is not taken for the next one's.
        await trio.sleep(BACKUP_AGE_S)
        await in_thread(partial(end, rig))

    def stop(rig: Rig) -> None:
        end(rig)  # an interrupted run comes here without
        for name in ETCD:
            shutil.rmtree(rig.etcd_data(name) / "etcd")
        rig.renew_cluster()
        for name in ETCD:
            flags = rig.member_flags(name, state="new")
            pairs = zip(flags[::2], flags[1::2], strict=True)
            kept = [
                word for flag, value in pairs if flag in _OF_A_RESTORE for word in (flag, value)
            ]
            run(*rig.etcdctl("snapshot", "restore", str(file), *kept, member=name))
            program = rig.etcd[name].command[4]
            rig.etcd[name].command = rig.network.inside(name, [program, *flags])
            rig.etcd[name].start()

    names = tuple(f"etcd@{name}" for name in ETCD)
    return Fault(start, stop, during, new_epoch=True, restarts=names)


def _out_of_quota(rig: Rig, rng: random.Random) -> Fault:
    """Its quota is used up: etcd takes no writes until somebody makes room and takes the alarm back."""
    key = "junk/"

    def start(rig: Rig) -> None:
        until_s = time.monotonic() + FILL_S
        junk = rig.folder / "junk"
        junk.write_bytes(bytes(33 + number % 90 for number in range(JUNK_BYTES)))
        for number in range(QUOTA_BYTES // JUNK_BYTES + 40):
            try:
                run(*rig.etcdctl("put", f"{key}{number}"), text=junk.read_text("ascii"))
            except ChaosError as problem:
                if "space exceeded" in str(problem) or time.monotonic() > until_s:
                    return  # else another fault has etcd away just now
        raise ChaosError("etcd took more than its quota")

    def make_room(rig: Rig) -> None:
        run(*rig.etcdctl("del", "--prefix", key))
        _compact(rig)
        for name in ETCD:
            run(*rig.etcdctl("defrag", member=name))
        run(*rig.etcdctl("alarm", "disarm"))

    def stop(rig: Rig) -> None:
        _insist(rig, lambda: make_room(rig), "etcd to have room again")

    return Fault(start, stop)


def _disk_full(rig: Rig, rng: random.Random) -> Fault:
    """No member can write any more: etcd ends itself at its next write. It is started when there is room again."""

    def filler(name: str) -> Path:
        return rig.etcd_data(name) / "filler"

    def start(rig: Rig) -> None:
        for name in ETCD:
            fill(filler(name))

    def stop(rig: Rig) -> None:
        for name in ETCD:
            filler(name).unlink(missing_ok=True)
        for name in ETCD:
            rig.etcd[name].start()

    return Fault(start, stop, restarts=tuple(f"etcd@{name}" for name in ETCD))


_OF_A_RESTORE = (
    "--name",
    "--data-dir",
    "--initial-cluster",
    "--initial-cluster-token",
    "--initial-advertise-peer-urls",
)
"""Flags of a member that `etcdctl snapshot restore` takes too."""

ETCD_PLANS = every(
    Plan("etcd-leader-killed", "etcd's leader is killed", _leader),
    Plan("etcd-minority-killed", "one member of etcd is killed", partial(_some, 1)),
    Plan("etcd-majority-killed", "two members of etcd are killed", partial(_some, 2)),
    Plan("etcd-all-killed", "all of etcd is killed", partial(_some, 3)),
    Plan(
        "etcd-paused",
        "all of etcd stands still for longer than leases live",
        _paused,
        lasts_s=LEASE_S * 2.5,
    ),
    Plan("etcd-compacted", "etcd is compacted while a host is away", _compacted),
    Plan(
        "etcd-defragmented",
        "etcd is defragmented, member by member",
        _defragmented,
        lasts_s=30.0,
        is_over_by_itself=True,
    ),
    Plan("etcd-member-replaced", "a member is lost with its disk and replaced", _replaced),
    Plan("etcd-out-of-quota", "etcd has used its quota up and refuses writes", _out_of_quota),
    Plan("etcd-disk-full", "the disks of all members of etcd are full", _disk_full),
    Plan(
        "etcd-restored",
        "the whole cluster is restored from a snapshot",
        _restored,
        lasts_s=20.0,
        is_over_by_itself=True,
        is_lone=True,
    ),
)
"""Faults of etcd."""
