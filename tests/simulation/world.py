"""N real gossip cores under a virtual clock on a fake network, in one process, the same for the same seed."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from sidecar.gossip import (
    LAN,
    Gossip,
    GossipSettings,
    Identity,
    Keyring,
    Purpose,
    Record,
    Signer,
    Status,
    Topic,
)
from sidecar.gossip import events as on
from sidecar.gossip.keyring import NONCE_BYTES
from tests.simulation.checkers import Checker
from tests.simulation.network import Network

__all__ = ["Host", "World", "settled", "signer_of"]

MESH = "test-mesh"
KEY = bytes(range(32))


@dataclass
class Host:
    """A process: its core, its keys, and how it fares."""

    name: str
    address: str
    epoch: int
    core: Gossip
    keyring: Keyring
    runs: bool = True
    resumes_at_s: float = 0.0
    """Until then it stands still; what comes in waits in its socket."""
    backlog: list[on.Event] = field(default_factory=list)
    buffer: int = 512
    """Datagrams that its socket holds while it stands still."""
    unopened: int = 0
    datagrams_out: int = 0
    bytes_out: int = 0
    bytes_streamed: int = 0
    wakes: int = 0
    """Times that a deadline came."""
    life: int = 0
    armed_for_s: float = 0.0
    """The deadline that is in the heap."""


class World:
    """The hosts, the network between them, and the time.

    Args:
        seed: Of everything random.
        settings: Of all hosts.
        checkers: See every effect.
    """

    def __init__(
        self, seed: int, settings: GossipSettings = LAN, checkers: Sequence[Checker] = ()
    ) -> None:
        self.rng = random.Random(seed)
        self.net = Network(random.Random(seed + 1))
        self.settings = settings
        self.checkers = list(checkers)
        self.now_s = 1000.0
        self.hosts: dict[str, Host] = {}
        self.seeds: Callable[[Host], Iterable[str]] = lambda host: ()
        self.trace = hashlib.sha256()
        self.events: list[tuple[float, str, on.Effect]] = []
        """Effects that tell something, with time and host."""
        self.datagrams: list[tuple[float, str, str, bytes]] | None = None
        """Set to a list to record what is sent, sealed."""
        self._by_address: dict[str, str] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._epochs = 1000

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, action))

    def start(
        self,
        name: str,
        *,
        epoch: int | None = None,
        address: str | None = None,
        keyring: Keyring | None = None,
        signer: Signer | None = None,
        core: type[Gossip] | None = None,
    ) -> Host:
        """Start a process, in place of one of that name; its key is that of the name unless another is given."""
        self._epochs += 1
        number = len(self.hosts) + 1
        old = self.hosts.get(name)
        if old is not None:
            old.runs = False  # two processes cannot have one port
        if address is None:
            address = old.address if old else f"10.0.{number // 250}.{number % 250 + 1}:7946"
        epoch = self._epochs if epoch is None else epoch
        rng = random.Random(self.rng.random())
        made = (core or Gossip)(
            Identity(name, address, epoch),
            rng,
            self.settings,
            signer=signer or signer_of(name),
            mesh_id=MESH,
        )
        host = Host(name, address, epoch, made, keyring or Keyring(MESH, [KEY]))
        host.life = old.life + 1 if old else 0
        self.hosts[name] = host
        self._by_address[address] = name
        self.give(host, on.Started())
        return host

    def start_beside(self, label: str, name: str, address: str, epoch: int) -> Host:
        """Start a second process under a name that another one has."""
        core = Gossip(
            Identity(name, address, epoch),
            random.Random(self.rng.random()),
            self.settings,
            signer=signer_of(label),
            mesh_id=MESH,
        )
        host = Host(label, address, epoch, core, Keyring(MESH, [KEY]))
        self.hosts[label] = host
        self._by_address[address] = label
        self.give(host, on.Started())
        return host

    def say(self, name: str, topic: Topic, body: bytes, page: int = 0) -> None:
        """Let a host say a page of its own."""
        self.give(self.hosts[name], on.SayRecord(topic, page, body))

    def heard(self, by: str, since_s: float = 0.0) -> list[Record]:
        """Records that a host heard, in order."""
        return [
            effect.record
            for when_s, host, effect in self.events
            if host == by and when_s >= since_s and isinstance(effect, on.RecordHeard)
        ]

    def kill(self, name: str) -> None:
        """End a process without goodbye."""
        self.hosts[name].runs = False

    def pause(self, name: str, for_s: float) -> None:
        """Let a process stand still."""
        host = self.hosts[name]
        host.resumes_at_s = max(host.resumes_at_s, self.now_s + for_s)
        self.at(host.resumes_at_s, lambda: self._resume(host))

    def stall_often(
        self, names: Iterable[str], between: tuple[float, float], until_s: float
    ) -> None:
        """Let processes stand still again and again, half of the time."""
        for name in names:
            self.hosts[name].buffer = 0
            self._stall(name, between, until_s)

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

    def held(self, by: str, *statuses: Status) -> frozenset[str]:
        """Whom a host holds so."""
        return self.hosts[by].core.snapshot().names(*statuses)

    def running(self) -> list[str]:
        """Processes that run."""
        return [host.name for host in self.hosts.values() if host.runs]

    def is_whole(self, names: Iterable[str] | None = None) -> bool:
        """Whether all of these hold exactly each other alive, in their present lives."""
        members = list(names) if names is not None else self.running()
        if len({self.hosts[name].core.digest for name in members}) != 1:
            return False
        views = [self.hosts[name].core.snapshot() for name in members]
        lives = {view.identity for view in views}
        return all(
            {m.identity for m in view.members if m.status is Status.ALIVE} | {view.identity}
            == lives
            for view in views
        )

    def converges(self, within_s: float, names: Iterable[str] | None = None) -> bool:
        """Whether they come to hold each other alive; looked at ten times a second."""
        members = list(names) if names is not None else None
        end_s = self.now_s + within_s
        while self.now_s < end_s:
            if self.is_whole(members):
                return True
            self.run(0.1)
        return self.is_whole(members)

    def changes(
        self, after: Status | None = None, since_s: float = 0.0
    ) -> list[tuple[float, str, on.MemberChanged]]:
        """Changes of members that hosts told, by the status after."""
        return [
            (when_s, host, effect)
            for when_s, host, effect in self.events
            if isinstance(effect, on.MemberChanged)
            and when_s >= since_s
            and (after is None or effect.after is after)
        ]

    def give(self, host: Host, event: on.Event) -> None:
        """Tell a core something, and do what it asks for."""
        if not host.runs:
            return
        if host.resumes_at_s > self.now_s:
            if not isinstance(event, on.TimePassed) and len(host.backlog) < host.buffer:
                host.backlog.append(event)
            return
        for effect in host.core.handle(event, self.now_s):
            for checker in self.checkers:
                checker.saw(self, host, effect)
            self._do(host, effect)
        self._arm(host)

    def inject(self, target: str, body: bytes) -> None:
        """Hand a host an unsealed datagram."""
        self.give(self.hosts[target], on.DatagramReceived(body))

    def deliver(self, target: str, sealed: bytes) -> None:
        """Let a sealed datagram arrive."""
        host = self.hosts[target]
        body = host.keyring.open(sealed, Purpose.DATAGRAM)
        if body is None:
            host.unopened += 1
        else:
            self.give(host, on.DatagramReceived(body))

    def _do(self, host: Host, effect: on.Effect) -> None:
        match effect:
            case on.SendDatagram(address, body):
                self._send(host, address, body)
            case on.CallPeer():
                self._call(host, effect)
            case on.FindSeeds():
                addresses = tuple(self.seeds(host))
                life = host.life
                self.at(self.now_s + 0.001, lambda: self._found(host, life, addresses))
            case on.AnswerPeer():
                raise AssertionError("answers are taken by _called")
            case _:
                self.events.append((self.now_s, host.name, effect))

    def _found(self, host: Host, life: int, addresses: tuple[str, ...]) -> None:
        if host.life == life:
            self.give(host, on.SeedsFound(addresses))

    def _send(self, host: Host, address: str, body: bytes) -> None:
        nonce = self.rng.randbytes(NONCE_BYTES)
        sealed = host.keyring.seal(body, Purpose.DATAGRAM, nonce)
        host.datagrams_out += 1
        host.bytes_out += len(sealed) + 28
        self.trace.update(f"{self.now_s!r} {host.name} {address}".encode() + sealed)
        target = self._by_address.get(address)
        if self.datagrams is not None:
            self.datagrams.append((self.now_s, host.name, address, sealed))
        if target is None:
            return
        for delay_s in self.net.datagram(host.name, target, len(sealed)):
            self.at(self.now_s + delay_s, lambda: self.deliver(target, sealed))

    def _call(self, host: Host, call: on.CallPeer) -> None:
        target = self._by_address.get(call.address)
        there_s = None if target is None else self.net.stream(host.name, target)
        sealed = host.keyring.seal(call.body, Purpose.STREAM, self.rng.randbytes(NONCE_BYTES))
        host.bytes_streamed += len(sealed) + 200  # SYN, FIN and acknowledgements of one connection
        if target is None or there_s is None or there_s > call.timeout_s:
            self.at(self.now_s + call.timeout_s, lambda: self.give(host, on.PeerFailed(call.call)))
            return
        self.at(self.now_s + there_s, lambda: self._called(host, call, target, sealed))

    def _called(self, host: Host, call: on.CallPeer, target: str, sealed: bytes) -> None:
        peer = self.hosts[target]
        body = peer.keyring.open(sealed, Purpose.STREAM)
        answer: bytes | None = None
        if peer.runs and peer.resumes_at_s <= self.now_s and body is not None:
            for effect in peer.core.handle(on.PeerCalled(1, body), self.now_s):
                for checker in self.checkers:
                    checker.saw(self, peer, effect)
                if isinstance(effect, on.AnswerPeer):
                    answer = effect.body
                else:
                    self._do(peer, effect)
            self._arm(peer)
        back_s = self.net.stream(target, host.name)
        if answer is None or back_s is None:
            self.at(self.now_s + call.timeout_s, lambda: self.give(host, on.PeerFailed(call.call)))
            return
        returned = peer.keyring.seal(answer, Purpose.STREAM, self.rng.randbytes(NONCE_BYTES))
        peer.bytes_streamed += len(returned) + 120
        opened = host.keyring.open(returned, Purpose.STREAM)
        event: on.Event = (
            on.PeerFailed(call.call) if opened is None else on.PeerAnswered(call.call, opened)
        )
        self.at(self.now_s + back_s, lambda: self.give(host, event))

    def _arm(self, host: Host) -> None:
        due_s = host.core.deadline()
        if due_s is not None and due_s != host.armed_for_s:
            host.armed_for_s = due_s  # one entry in the heap for each deadline
            self.at(max(due_s, self.now_s), lambda: self._wake(host, due_s))

    def _wake(self, host: Host, due_s: float) -> None:
        if host.core.deadline() == due_s and host.runs and host.resumes_at_s <= self.now_s:
            host.wakes += 1
            host.armed_for_s = 0.0
            self.give(host, on.TimePassed())

    def _resume(self, host: Host) -> None:
        if host.resumes_at_s > self.now_s:
            return
        backlog, host.backlog = host.backlog, []
        for event in backlog:
            self.give(host, event)
        self.give(host, on.TimePassed())

    def _stall(self, name: str, between: tuple[float, float], until_s: float) -> None:
        if self.now_s >= until_s:
            return
        for_s = self.rng.uniform(*between)
        self.pause(name, for_s)
        pause_s = self.rng.uniform(0.001, 0.004)
        self.at(self.now_s + for_s + pause_s, lambda: self._stall(name, between, until_s))


@cache
def signer_of(name: str) -> Signer:
    """The key of a host: the same in all its lives."""
    return Signer.from_seed(hashlib.sha256(name.encode()).digest())


def settled(
    n: int, seed: int, settings: GossipSettings = LAN, checkers: Sequence[Checker] = ()
) -> World:
    """A world of n hosts, `n0` to `n<n-1>`, that hold each other alive; `n0` to `n2` are everybody's seeds."""
    world = World(seed, settings, checkers)
    world.seeds = lambda host: [f"10.0.0.{i + 2}:7946" for i in range(min(3, n))]
    for number in range(n):
        world.start(f"n{number}")
    assert world.converges(30.0), f"{n} hosts do not come together"
    world.run(5.0)
    return world
