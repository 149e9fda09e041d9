"""A random schedule of faults, from a seed: what happens, when, and how it ends. All have ended when healing begins.

Each fault is a method that begins it and plans its end. What one has taken away another may take away again: ends are
planned by what they give back, and `heal` gives back everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from store.snapshot import Entry, Snapshot
from tests.simulation.whole.host import Disk
from tests.simulation.whole.writers import REGISTERS

if TYPE_CHECKING:
    from tests.simulation.whole.world import Whole

__all__ = ["FAULTS", "Faults"]

FROM_S, UNTIL_S = 12.0, 85.0
FEWEST, MOST = 3, 9


class Faults:
    """The schedule of one run.

    Args:
        whole: What suffers.
        rng: Draws it.
    """

    def __init__(self, whole: Whole, rng: random.Random) -> None:
        self.whole, self.rng = whole, rng
        self.counts: dict[str, int] = {}
        """How often each happened."""
        self.planned: list[str] = []
        """What is to happen."""
        self._names = list(whole.places)

    def plan(self, *, only: Sequence[str] = ()) -> None:
        """Draw what happens; or have `only` these faults happen, one second after the other."""
        for number, name in enumerate(only):
            fault = next(one for one in FAULTS if one.__name__ == name)
            self.whole.at(FROM_S + number, partial(self._begin, fault))
        if only:
            return
        for _ in range(self.rng.randint(FEWEST, MOST)):
            fault = self.rng.choice(FAULTS)
            self.planned.append(fault.__name__)
            self.whole.at(self.rng.uniform(FROM_S, UNTIL_S), partial(self._begin, fault))

    def heal(self) -> None:
        """End all that has not ended."""
        whole = self.whole
        whole.note("everything heals")
        net = whole.clock.net
        net.heal()
        net.loss, net.duplication, net.reordering = 0.0, 0.0, 0.0
        whole.sick.clear()
        whole.site.cut.clear()
        if not whole.site.is_up:
            whole.site.come_up()
        for name in self._names:
            whole.start(name)
            whole.places[name].envoy.go_on()

    # -- the faults -----------------------------------------------------------------------------

    def etcd_away(self) -> str:
        """All members end; later they are back, or at once all leases end as well."""
        site, ends_all = self.whole.site, self.rng.random() < 0.3
        for_s = self.rng.uniform(1.0, 40.0)
        site.go_down()

        def back() -> None:
            if site.is_up:
                return
            site.come_up()
            if ends_all:
                self.whole.note("etcd is back, and every lease has run out")
                site.etcd.end_leases(list(site.etcd.leases))
                site.note()
            else:
                self.whole.note("etcd is back")

        self._later(for_s, back)
        return f"etcd is away for {for_s:.1f} s"

    def etcd_cut(self) -> str:
        """Some hosts do not reach etcd; longer than a lease lives, sometimes."""
        chosen = self._some()
        for_s = self.rng.uniform(1.0, 45.0)
        self.whole.site.cut.update(chosen)
        if self.rng.random() < 0.5:
            for link in self.whole.site.links:
                if link.name in chosen:
                    link.broken()
        self._later(for_s, lambda: self.whole.site.cut.difference_update(chosen))
        return f"etcd is out of reach of {', '.join(chosen)} for {for_s:.1f} s"

    def split(self) -> str:
        """Two parts of the hosts do not reach each other."""
        chosen = self._some()
        rest = [name for name in self._names if name not in chosen]
        for_s = self.rng.uniform(1.0, 30.0)
        self.whole.clock.net.split(rest, chosen)
        self._later(for_s, self._unsplit)
        return f"{', '.join(chosen)} are split from the rest for {for_s:.1f} s"

    def one_way(self) -> str:
        """What one host sends to another does not arrive."""
        source, target = self.rng.sample(self._names, 2)
        for_s = self.rng.uniform(1.0, 30.0)
        cuts = self.whole.clock.net.cuts
        cuts.add((source, target))
        self._later(for_s, lambda: cuts.discard((source, target)))
        return f"nothing passes from {source} to {target} for {for_s:.1f} s"

    def loss(self) -> str:
        """Datagrams get lost, doubled and out of order."""
        net, share = self.whole.clock.net, self.rng.choice((0.1, 0.3))
        for_s = self.rng.uniform(5.0, 30.0)
        net.loss, net.duplication, net.reordering = share, 0.05, 0.1

        def over() -> None:
            net.loss, net.duplication, net.reordering = 0.0, 0.0, 0.0

        self._later(for_s, over)
        return f"{share:.0%} of datagrams are lost for {for_s:.1f} s"

    def sidecar_crash(self) -> str:
        """A sidecar is killed and starts again: with its disk, with an old one, or with an empty one."""
        name = self.rng.choice(self._names)
        for_s = self.rng.choice((0.05, 1.0, self.rng.uniform(2.0, 20.0)))
        disk = self.rng.choice(("its disk", "its disk", "an old disk", "an empty disk"))
        self.whole.kill(name)
        place = self.whole.places[name]
        if disk == "an empty disk":
            place.disk = Disk(epoch=place.disk.epoch)
        elif disk == "an old disk":
            place.disk = replace(place.old_disk, epoch=place.disk.epoch)
        self._later(for_s, partial(self.whole.start, name))
        return f"the sidecar of {name} is killed, and starts with {disk} after {for_s:.1f} s"

    def all_crash(self) -> str:
        """Every sidecar is killed at once; they come back one by one."""
        for name in self._names:
            self.whole.kill(name)
            self._later(self.rng.uniform(0.1, 6.0), partial(self.whole.start, name))
        return "all sidecars are killed"

    def envoy_restart(self) -> str:
        """An Envoy ends, and another begins with nothing."""
        name = self.rng.choice(self._names)
        self.whole.restart_envoy(name)
        return f"the Envoy of {name} starts anew"

    def envoy_paused(self) -> str:
        """An Envoy stands still: what it is sent waits, and comes all at once."""
        name, for_s = self.rng.choice(self._names), self.rng.uniform(0.5, 20.0)
        self.whole.places[name].envoy.stand_still(for_s)
        return f"the Envoy of {name} stands still for {for_s:.1f} s"

    def compaction(self) -> str:
        """History is forgotten."""
        self.whole.site.compact()
        return f"etcd is compacted at {self.whole.site.etcd.compacted}"

    def leases_end(self) -> str:
        """Every lease runs out at once, as after a pause of etcd."""
        site = self.whole.site
        if site.is_up:
            site.etcd.end_leases(list(site.etcd.leases))
            site.note()
        return "every lease runs out"

    def restore(self) -> str:
        """etcd is restored from a backup, under the same cluster id or another one."""
        site = self.whole.site
        first = max(site.etcd.compacted, 1)
        revision = max(first, site.etcd.revision - self.rng.choice((1, 3, 10)))
        is_same = self.rng.random() < 0.3
        cluster_id = site.etcd.cluster_id if is_same else site.etcd.cluster_id + 1
        site.restore(revision, cluster_id)
        return f"etcd is restored from revision {revision}, cluster {cluster_id:x}"

    def bad_object(self) -> str:
        """Somebody writes what cannot be used, and mends it later."""
        number = self.rng.randrange(REGISTERS)
        self.whole.writers.spoil(number)
        self._later(self.rng.uniform(2.0, 20.0), lambda: self.whole.writers.write_register(number))
        return f"register {number} is spoilt"

    def sick_endpoint(self) -> str:
        """The applications of some hosts answer 5xx."""
        chosen = self._some() if self.rng.random() < 0.4 else [self.rng.choice(self._names)]
        share, for_s = self.rng.choice((0.3, 1.0)), self.rng.uniform(3.0, 30.0)
        for name in chosen:
            self.whole.sick[name] = share
        self._later(for_s, lambda: [self.whole.sick.pop(name, None) for name in chosen])
        return f"{share:.0%} of answers of {', '.join(chosen)} are 5xx for {for_s:.1f} s"

    def sick_in_turn(self) -> str:
        """One application after another falls ill for good, too slowly for it to look like one event."""
        chosen = self.rng.sample(self._names, len(self._names) - 1)
        at_s = 0.0
        for number, name in enumerate(chosen):
            self._later(at_s, partial(self.whole.sick.__setitem__, name, 1.0))
            at_s += 1.0 if number == 0 else self.rng.uniform(31.0, 34.0)
        return f"{', '.join(chosen)} fall ill one after another"

    def liar(self) -> str:
        """The sidecar of a host tells of revisions that never were, signed with its key, until it is replaced."""
        name = self.rng.choice(self._names)
        sidecar, for_s = self.whole.places[name].sidecar, self.rng.uniform(5.0, 30.0)
        if sidecar is None:
            return "nobody is there to lie"
        sidecar.sources.lie = partial(_forged, name)

        def replaced() -> None:
            if self.whole.places[name].sidecar is sidecar:
                self.whole.kill(name)
                self.whole.start(name)

        self._later(for_s, replaced)
        return f"{name} lies for {for_s:.1f} s"

    def stand_still(self) -> str:
        """The gossip of a sidecar stands still: what comes in waits in its socket, or is lost."""
        name, for_s = self.rng.choice(self._names), self.rng.uniform(0.5, 15.0)
        self.whole.clock.pause(name, for_s)
        return f"the gossip of {name} stands still for {for_s:.1f} s"

    # -- machinery ------------------------------------------------------------------------------

    def _begin(self, fault: Callable[[Faults], str]) -> None:
        if not self.whole.is_healed:
            self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
            self.whole.note(fault(self))

    def _later(self, pause_s: float, action: Callable[[], object]) -> None:
        def end() -> None:
            if not self.whole.is_healed:
                action()

        self.whole.clock.at(self.whole.clock.now_s + pause_s, end)

    def _unsplit(self) -> None:
        self.whole.clock.net.groups = {}

    def _some(self) -> list[str]:
        return sorted(self.rng.sample(self._names, self.rng.randint(1, len(self._names) - 1)))


FAULTS: tuple[Callable[[Faults], str], ...] = (
    Faults.etcd_away,
    Faults.etcd_cut,
    Faults.split,
    Faults.one_way,
    Faults.loss,
    Faults.sidecar_crash,
    Faults.all_crash,
    Faults.envoy_restart,
    Faults.envoy_paused,
    Faults.compaction,
    Faults.leases_end,
    Faults.restore,
    Faults.bad_object,
    Faults.sick_endpoint,
    Faults.sick_in_turn,
    Faults.liar,
    Faults.stand_still,
)


def _forged(name: str, snapshot: Snapshot) -> Snapshot:
    """Content that nobody wrote, some revisions ahead; two liars do not tell the same."""
    revision = snapshot.revision + 3
    key = "ns/default/virtualservices/a-pair-test"
    return snapshot.apply([Entry(key, name.encode(), revision, revision, 1)], [], revision)
