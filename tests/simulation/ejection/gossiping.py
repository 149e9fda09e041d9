"""The real gossip cores as carriers of evidence: members, signatures, spreading and repair as in the daemon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

from sidecar.gossip import Status
from sidecar.gossip import events as gossip
from sidecar.gossip.frames import Sender, encode, encode_message
from sidecar.gossip.records import Record
from sidecar.outlier import events as on
from sidecar.outlier.model import Observer
from tests.simulation.ejection.mesh import Arm, Mesh, Setup, host_name
from tests.simulation.world import Host, World, settled

__all__ = ["GossipCarrier", "gossiping_mesh"]


@dataclass
class GossipCarrier:
    """Says through the gossip core of the same host; hands what cores hear to the outlier core beside them."""

    mesh: Mesh
    refused: list[tuple[str, gossip.RecordRefused]] = field(default_factory=list)
    """Who refused what."""
    heard: Counter[str] = field(default_factory=Counter)
    """Records that each host heard."""
    _seen: dict[str, dict[str, Observer]] = field(default_factory=dict)

    def say(self, node: str, epoch: int, say: on.Say) -> None:
        """The core of the host says it, at this moment but not within the present call."""
        world = self.mesh.world
        word = gossip.SayRecord(say.topic, say.page, say.body)
        world.at(world.now_s, lambda: world.give(world.hosts[node], word))

    def smuggle(self, record: Record, by: str) -> None:
        """A host sends a record that it made up to everybody, in a frame of its own."""
        world = self.mesh.world
        sender = world.hosts[by].core.snapshot()
        body = encode(Sender(sender.identity, sender.incarnation), [encode_message(record)])
        for name in self.mesh.hosts:
            if name != by:
                world.at(world.now_s, partial(world.inject, name, body))

    def saw(self, world: World, host: Host, effect: gossip.Effect) -> None:
        """What a gossip core tells its host."""
        if host.name not in self.mesh.hosts:
            return
        match effect:
            case gossip.RecordHeard(record):
                self.heard[host.name] += 1
                world.at(world.now_s, partial(self.mesh.hear, host.name, on.RecordHeard(record)))
            case gossip.MemberChanged():
                seen = self._seen.setdefault(host.name, dict(self.mesh.observers))
                node = effect.identity.node
                if node in seen:
                    seen[node] = replace(seen[node], counts=effect.after is Status.ALIVE)
                    world.at(world.now_s, partial(self.mesh.see, dict(seen), host.name))
            case gossip.RecordRefused():
                self.refused.append((host.name, effect))
            case _:
                pass


def gossiping_mesh(setup: Setup, seed: int) -> tuple[Mesh, GossipCarrier]:
    """A mesh over a settled world of gossip; without gossip (`Arm.ALONE`) the same Envoys and traffic."""
    world = settled(setup.hosts, seed) if setup.arm is Arm.SHARED else World(seed)
    assert setup.arm is not Arm.SHARED or set(world.hosts) == {
        host_name(number) for number in range(setup.hosts)
    }
    mesh = Mesh(setup, seed, world)
    carrier = GossipCarrier(mesh)
    if setup.arm is Arm.SHARED:
        mesh.carrier = carrier
        world.checkers.append(carrier)
    return mesh, carrier
