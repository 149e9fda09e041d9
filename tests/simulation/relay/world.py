"""N real relay cores under a virtual clock, a fake etcd and a fake network, the same for the same seed.

Gossip is a fake here: what a host says of itself reaches every other host that can be reached, later by what gossip
takes, at most once a second for each host. The relay's own words travel as bytes.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.mesh.model import Locality
from sidecar.relay import Relay, RelaySettings, StoreLink
from sidecar.relay import events as on
from sidecar.relay.wire import Word, decode
from sidecar.standing.model import Standing
from store.mirror.judgement import Judgement, Reading, judge
from store.snapshot import Entry, Epoch, Snapshot

__all__ = ["Host", "Store", "World", "entry_of"]

MESH = "test-mesh"
DEFAULTS = RelaySettings(chunk_bytes=4096)


class Key:
    """A host's private key."""

    def __init__(self, seed: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign_bytes(self, message: bytes) -> bytes:
        return self._key.sign(message)


def entry_of(name: str, revision: int, *, bytes_of_value: int = 200, version: int = 1) -> Entry:
    """An object as it was written at a revision."""
    value = (b'{"at":%d}' % revision).ljust(bytes_of_value, b" ")
    return Entry(f"ns/default/virtualservices/{name}", value, 1, revision, version)


class Store:
    """An etcd: what it held at every revision."""

    def __init__(self, cluster_id: int, objects: int, *, revision: int = 100) -> None:
        self.cluster_id = cluster_id
        rows = [entry_of(f"o{number}", 10) for number in range(objects)]
        self.snapshots = {revision: Snapshot.of(Epoch(1, cluster_id), revision, rows)}
        self.revision = revision

    @property
    def newest(self) -> Snapshot:
        return self.snapshots[self.revision]

    def write(self, *names: str, deletes: Iterable[str] = ()) -> Snapshot:
        """One transaction."""
        before, self.revision = self.newest, self.revision + 1
        gone = [f"ns/default/virtualservices/{name}" for name in deletes]
        rows = [entry_of(name, self.revision, version=2) for name in names]
        after = before.apply(rows, gone, self.revision)
        self.snapshots[self.revision] = after
        return after

    def restored(self, revision: int, *, cluster_id: int | None = None) -> Store:
        """Another etcd, made from a backup of this one."""
        other = Store(cluster_id or self.cluster_id, 0)
        epoch = Epoch(1, other.cluster_id)
        backup = self.snapshots[revision]
        other.snapshots = {revision: Snapshot.of(epoch, revision, backup.entries())}
        other.revision = revision
        return other


@dataclass
class Host:
    """A process: its core and how it fares."""

    name: str
    core: Relay
    key: Key
    store: Store | None
    """The etcd that it has in reach."""
    runs: bool = True
    snapshot: Snapshot | None = None
    adopted: list[tuple[float, on.Adopt]] = field(default_factory=list)
    reports: list[on.Report] = field(default_factory=list)
    duties: list[tuple[float, bool]] = field(default_factory=list)
    said: Standing | None = None
    said_s: float = -10.0
    tamper: Callable[[bytes], bytes | None] | None = None
    """What becomes of its answers; None in place of bytes: nothing is sent."""
    claims: Callable[[Standing], Standing] | None = None
    """What it says in the place of the truth."""
    slow_s: float = 0.0
    """Its answers take so much longer."""
    serving_max: int = 0
    bytes_out: int = 0
    asked: list[tuple[str, Word]] = field(default_factory=list)
    """Whom it asked, and what."""
    armed_s: float = 0.0
    life: int = 0
    locality: Locality = field(default_factory=Locality)

    @property
    def revision(self) -> int:
        return self.snapshot.revision if self.snapshot is not None else 0


class World:
    """The hosts, etcd, the network between them, and the time."""

    def __init__(
        self, seed: int, hosts: int, settings: RelaySettings = DEFAULTS, *, objects: int = 200
    ) -> None:
        self.rng = random.Random(seed)
        self.settings = settings
        self.now_s = 1000.0
        self.store = Store(0xC1, objects)
        self.hosts: dict[str, Host] = {}
        self.loss = 0.0
        self.gossip_s = (0.1, 0.8)
        self.cuts: set[frozenset[str]] = set()
        self.without_etcd: set[str] = set()
        """Hosts that do not reach etcd when they take a watch."""
        self.listeners: Callable[[Host], Iterable[Host]] | None = None
        """Who hears a host's standings; None: everybody."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._calls = 0
        self._waiting: dict[tuple[str, int], tuple[Host, int, float]] = {}
        follows = settings.watch_share >= 1.0  # else duty says who holds a watch
        for number in range(hosts):
            self.start(f"n{number}", has_store=follows, tell=False)
        if not follows:
            for host in self.hosts.values():
                self.give(host, on.StoreSeen(StoreLink.UNWATCHED))
        self.tell_members()

    # ---------------------------------------------------------------- what tests do

    def start(
        self,
        name: str,
        *,
        has_store: bool = True,
        disk: Snapshot | None = None,
        tell: bool = True,
        locality: Locality | None = None,
    ) -> Host:
        """Start a process."""
        old = self.hosts.get(name)
        key = Key(len(self.hosts) + 1)
        rng = random.Random(self.rng.random())
        core = Relay(name, rng, self.settings, mesh_id=MESH, signer=key, locality=locality)
        host = Host(name, core, key, self.store if has_store else None)
        host.life = old.life + 1 if old is not None else 0
        host.locality = locality or Locality()
        self.hosts[name] = host
        if disk is not None:
            host.snapshot = disk
            self.give(host, on.SnapshotSeen(disk, is_first_hand=False))
        if has_store:
            self.connect(name)
        if tell:
            self.tell_members()
            for other in self.hosts.values():
                if other is not host and other.runs and other.said is not None:
                    self._spread(other, other.said, [host])
        return host

    def kill(self, name: str, *, noticed_after_s: float = 5.0) -> None:
        """End a process without goodbye; gossip finds out."""
        self.hosts[name].runs = False
        self.at(self.now_s + noticed_after_s, self.tell_members)

    def connect(self, *names: str) -> None:
        """Give hosts their etcd back."""
        for name in names:
            host = self.hosts[name]
            host.store = self.store
            self.give(host, on.StoreSeen(StoreLink.FOLLOWED))
            self.publish(host)

    def cut_off(self, *names: str) -> None:
        """Take etcd from hosts."""
        for name in names:
            host = self.hosts[name]
            host.store = None
            self.give(host, on.StoreSeen(StoreLink.AWAY))

    def write(self, *names: str, deletes: Iterable[str] = ()) -> int:
        """One transaction in etcd; those who have it in reach see it a moment later."""
        self.store.write(*names, deletes=deletes)
        store, revision = self.store, self.store.revision
        for host in self.hosts.values():
            if host.store is store:
                delay_s = self.rng.uniform(0.001, 0.005)
                self.at(self.now_s + delay_s, partial(self._see, host, store, revision))
        return revision

    def _see(self, host: Host, store: Store, revision: int) -> None:
        if host.store is store and host.revision < revision:
            self.publish(host, store.snapshots[revision])

    def publish(self, host: Host, seen: Snapshot | None = None) -> None:
        """What a Mirror does with what etcd shows."""
        assert host.store is not None
        seen = seen or host.store.newest
        known = host.snapshot
        if known is None:
            found = seen
        elif known.epoch.cluster_id == seen.epoch.cluster_id and (
            known.epoch.life == 1 and known.revision <= seen.revision
        ):
            found = seen
        else:
            modified = {e.key: e.mod_revision for e in seen.entries()}
            reading = Reading(modified, seen.revision, seen.epoch.cluster_id)
            judgement, _ = judge(known, reading, known.revision)
            if judgement is Judgement.HOLD:
                self.give(host, on.StoreSeen(StoreLink.HELD))
                return
            life = known.epoch.life + (judgement is Judgement.FOLLOW)
            epoch = Epoch(life, seen.epoch.cluster_id)
            found = known.relist(seen.entries(), seen.revision, epoch=epoch)
        host.snapshot = found
        self.give(host, on.SnapshotSeen(found))

    def partition(self, *groups: Iterable[str]) -> None:
        """Part hosts from each other."""
        parts = [list(group) for group in groups]
        self.cuts = {
            frozenset((a, b))
            for i, one in enumerate(parts)
            for other in parts[i + 1 :]
            for a in one
            for b in other
        }

    def tell_members(self) -> None:
        """Gossip has found out who runs."""
        up = [host for host in self.hosts.values() if host.runs]
        peers = {host.name: on.Peer(host.name, host.locality) for host in up}  # named for short
        for host in up:
            self.give(host, on.MembersSeen(peers))

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, action))

    def run(self, for_s: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; with `until`, stop as soon as it holds and say whether it came to hold."""
        end_s = self.now_s + for_s
        if until is not None and until():
            return True
        while self._heap and self._heap[0][0] <= end_s:
            when_s, _, action = heapq.heappop(self._heap)
            self.now_s = max(self.now_s, when_s)
            action()
            if until is not None and until():
                return True
        self.now_s = end_s
        return False

    def have(self, revision: int, names: Iterable[str] | None = None) -> bool:
        """Whether these hosts (all that run) have exactly what etcd held at a revision."""
        wanted = self.store.snapshots[revision].hash
        chosen = [self.hosts[n] for n in names] if names is not None else self.running()
        return all(h.snapshot is not None and h.snapshot.hash == wanted for h in chosen)

    def running(self) -> list[Host]:
        """Processes that run."""
        return [host for host in self.hosts.values() if host.runs]

    # ---------------------------------------------------------------- machinery

    def give(self, host: Host, event: on.Event) -> None:
        """Tell a core something, and do what it asks for."""
        if not host.runs:
            return
        for effect in host.core.handle(event, self.now_s):
            self._do(host, effect)
        self._say(host)
        due_s = host.core.deadline()
        if due_s is not None and due_s != host.armed_s:
            host.armed_s = due_s
            self.at(max(due_s, self.now_s), lambda: self._wake(host, due_s))

    def _wake(self, host: Host, due_s: float) -> None:
        if host.armed_s == due_s and self.hosts.get(host.name) is host:
            host.armed_s = 0.0
            if host.core.deadline() == due_s:
                self.give(host, on.TimePassed())

    def _do(self, host: Host, effect: on.Effect) -> None:
        match effect:
            case on.AskPeer():
                self._ask(host, effect)
            case on.AnswerPeer(call, body):
                host.serving_max = max(host.serving_max, host.core.snapshot().serving)
                self._answer(host, call, body)
            case on.Adopt(snapshot):
                self._check(host, snapshot)
                host.adopted.append((self.now_s, effect))
                host.snapshot = snapshot
            case on.WatchStore(is_wanted):
                host.duties.append((self.now_s, is_wanted))
                self._duty(host, is_wanted)
            case on.Report():
                host.reports.append(effect)

    def _duty(self, host: Host, is_wanted: bool) -> None:
        """A host takes a watch or lets go of it."""
        if not is_wanted:
            host.store = None
            self.at(self.now_s, lambda: self.give(host, on.StoreSeen(StoreLink.UNWATCHED)))
        elif host.name in self.without_etcd:
            self.at(self.now_s, lambda: self.give(host, on.StoreSeen(StoreLink.AWAY)))
        else:
            self.at(self.now_s + 0.05, lambda: self.connect(host.name))

    def _check(self, host: Host, snapshot: Snapshot) -> None:
        before = host.snapshot
        if before is not None and before.epoch == snapshot.epoch:
            assert snapshot.revision > before.revision, f"{host.name} went back"
        if before is not None and before.epoch != snapshot.epoch:
            assert snapshot.epoch.life == before.epoch.life + 1

    def _say(self, host: Host) -> None:
        """Say what has changed, at most once a second."""
        if host.snapshot is None:
            return
        found, sync = host.snapshot, host.core.sync
        said = Standing(found.epoch, found.revision, found.hash[:32], found.revision, sync)
        if host.claims is not None:
            said = host.claims(said)
        if said == host.said:
            return
        if self.now_s < host.said_s + 1.0:
            self.at(host.said_s + 1.0, lambda: self._say(host) if host.runs else None)
            return
        host.said, host.said_s = said, self.now_s
        others = self.hosts.values() if self.listeners is None else self.listeners(host)
        self._spread(host, said, others)

    def _spread(self, host: Host, said: Standing, others: Iterable[Host]) -> None:
        for other in others:
            if other is not host:
                delay_s = self.rng.uniform(*self.gossip_s)
                if self.rng.random() < self.loss:
                    delay_s += self.rng.uniform(0.2, 1.0)
                self.at(self.now_s + delay_s, partial(self._hear, host, other, said))

    def _hear(self, host: Host, other: Host, said: Standing) -> None:
        if host.said != said or not other.runs:
            return
        if frozenset((host.name, other.name)) in self.cuts:
            self.at(self.now_s + 1.0, lambda: self._hear(host, other, said))
            return
        self.give(other, on.StandingHeard(host.name, said, host.key.public))

    def _ask(self, host: Host, ask: on.AskPeer) -> None:
        word = decode(ask.body)
        assert word is not None, "what is asked can be read"
        host.asked.append((ask.node, word))
        peer = self.hosts[ask.node]
        life = host.life
        end_s = self.now_s + ask.timeout_s
        there_s = self._way_s(host, peer, len(ask.body))
        if there_s is None:
            self.at(end_s, lambda: self._failed(host, life, ask.call))
            return
        self._calls += 1
        number = self._calls
        self._waiting[ask.node, number] = (host, ask.call, end_s)
        self.at(
            self.now_s + there_s,
            lambda: self.give(peer, on.PeerAsked(number, host.name, ask.body)),
        )
        self.at(end_s, lambda: self._expired(ask.node, number, host, life))

    def _expired(self, node: str, number: int, host: Host, life: int) -> None:
        waiting = self._waiting.pop((node, number), None)
        if waiting is not None:
            self._failed(host, life, waiting[1])

    def _failed(self, host: Host, life: int, call: int) -> None:
        if host.life == life and self.hosts.get(host.name) is host:
            self.give(host, on.PeerFailed(call))

    def _answer(self, host: Host, number: int, body: bytes) -> None:
        waiting = self._waiting.get((host.name, number))
        if waiting is None:
            return
        sent = host.tamper(body) if host.tamper is not None else body
        if sent is None:
            return
        asker, call, end_s = waiting
        host.bytes_out += len(sent)
        back_s = self._way_s(host, asker, len(sent))
        if back_s is None or self.now_s + back_s + host.slow_s >= end_s:
            return  # the time-out comes
        del self._waiting[host.name, number]
        self.at(
            self.now_s + back_s + host.slow_s,
            lambda: self._answered(host, asker, call, sent),
        )

    def _answered(self, host: Host, asker: Host, call: int, body: bytes) -> None:
        if self.hosts.get(asker.name) is asker:
            self.give(asker, on.PeerAnswered(call, body) if host.runs else on.PeerFailed(call))

    def _way_s(self, one: Host, other: Host, size: int) -> float | None:
        """How long bytes take over TCP; None when they do not arrive."""
        if not other.runs or frozenset((one.name, other.name)) in self.cuts:
            return None
        time_s = self.rng.uniform(0.0002, 0.002) + size / 50e6
        for _ in range(1 + size // 1400):
            if self.rng.random() < self.loss:
                time_s += self.rng.uniform(0.005, 0.05)  # a fast retransmission
        return time_s

    def accept(self, name: str) -> None:
        """A person accepts, at a host, the epoch that it holds."""
        self.give(self.hosts[name], on.EpochAccepted())

    def claim(self, name: str, **changes: object) -> None:
        """Let a host say something false of itself from now on."""
        host = self.hosts[name]
        host.claims = lambda said: replace(said, **changes)  # type: ignore[arg-type]  # any field
        self._say(host)
