"""Requirement 46 and the trust in keys: a host's words are its own, whoever carries, alters, forges or repeats them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from sidecar.gossip import LAN, Gossip, Record, Signer, Topic, frames
from sidecar.gossip import events as on
from sidecar.gossip.signing import fingerprint
from tests.simulation.test_records import Words, words
from tests.simulation.world import MESH, World, settled, signer_of


def _record(node: str, epoch: int, body: bytes, version: int = 9) -> Record:
    return Record(Topic.EVIDENCE, node, 0, epoch, version, body, b"", b"")


def _epoch(world: World, name: str) -> int:
    return world.hosts[name].core.snapshot().identity.epoch


def _tell(world: World, by: str, at: str, records: Iterable[Record]) -> None:
    """Let a host that holds the gossip key send these records as news."""
    view = world.hosts[by].core.snapshot()
    sender = frames.Sender(view.identity, view.incarnation)
    for record in records:
        world.inject(at, frames.encode(sender, [frames.encode_message(record)]))


def _forgeries(world: World, victim: str, thief: str) -> list[Record]:
    """All that a stolen host can try: its own key, the victim's key, and the victim's true words changed."""
    epoch, stolen = _epoch(world, victim), signer_of(thief)
    said = next(r for r in world.hosts[victim].core.records(world.now_s) if r.node == victim)
    forged = _record(victim, epoch, b"all is bad")
    by_thief = stolen.sign(forged, MESH)
    return [
        by_thief,
        replace(by_thief, key=signer_of(victim).public),
        replace(said, body=b"all is bad", version=said.version + 1),
        replace(said, version=said.version + 1),
        replace(said, page=1),
        replace(said, topic=Topic.OVERRIDES),
        replace(said, node="n9"),
        signer_of(victim).sign(replace(forged, version=said.version + 1), "another-mesh"),
    ]


def _forge(seed: int) -> tuple[list[Words], list[Words], World]:
    """What all hold before and after a stolen host has told all of them its forgeries, three times."""
    world = settled(10, seed)
    world.say("n1", Topic.EVIDENCE, b"n4 is bad")
    world.say("n9", Topic.EVIDENCE, b"n4 is bad too")
    others = [f"n{i}" for i in range(10) if i != 7]
    assert world.run(9.0, lambda: all(len(words(world, name)) == 2 for name in others))
    before = [words(world, name) for name in others]
    for _ in range(3):
        for name in others:
            _tell(world, "n7", name, _forgeries(world, "n1", "n7"))
        world.run(0.5)
    return before, [words(world, name) for name in others], world


def test_46_stolen_host_that_forges_words_of_others_changes_nothing(seed: int) -> None:
    before, after, world = _forge(seed)
    assert after == before
    for number in (0, 1, 9):
        refused = dict(world.hosts[f"n{number}"].core.snapshot().refused)
        assert refused["signature"] >= 9
        assert refused["other_key"] >= 3
    told = [e for _, host, e in world.events if isinstance(e, on.RecordRefused) and host == "n0"]
    assert len(told) == len({(e.node, e.reason) for e in told}), "each told once"
    assert {e.node for e in told} == {"n1", "n9"}


@pytest.mark.parametrize("check", ["recording.verify", "trust.Trust.refusal"])
def test_46_ablation_without_the_check_forgeries_are_believed(
    check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = {"recording.verify": True, "trust.Trust.refusal": None}[check]
    monkeypatch.setattr(f"sidecar.gossip.{check}", lambda *args: passes)
    before, after, _ = _forge(1)
    assert after != before


class _Alters(Gossip):
    """A member that changes what it passes on of others."""

    def handle(self, event: on.Event, now_s: float) -> list[on.Effect]:
        return [self._altered(effect) for effect in super().handle(event, now_s)]

    def _altered(self, effect: on.Effect) -> on.Effect:
        match effect:
            case on.SendDatagram() | on.AnswerPeer():
                frame = frames.decode(effect.body)
                assert frame is not None
                messages = [frames.encode_message(self._changed(m)) for m in frame.messages]
                return replace(effect, body=frames.encode(frame.sender, messages))
            case _:
                return effect

    def _changed(self, message: frames.Message) -> frames.Message:
        if isinstance(message, Record) and message.node != self.snapshot().identity.node:
            return replace(message, body=message.body + b"!")
        return message


def test_46_relays_cannot_alter_what_they_pass_on(seed: int) -> None:
    world = World(seed)
    world.seeds = lambda host: ["10.0.0.2:7946", "10.0.0.3:7946"]
    for number in range(12):
        world.start(f"n{number}", core=_Alters if 1 <= number <= 5 else None)
    assert world.converges(20.0)
    for number in range(12):
        world.say(f"n{number}", Topic.STANDING, b"%d" % number)
    all_have_all = world.run(
        60.0, lambda: all(len(words(world, name)) == 12 for name in world.running())
    )
    for name in world.running():
        for (_, node, _), (_, _, body) in words(world, name).items():
            assert body == node[1:].encode()
    assert all_have_all, "five liars of twelve do not keep words from anybody for long"


def test_own_key_in_the_hand_of_another_is_not_believed_by_ourselves() -> None:
    world = settled(3, 1)
    forged = signer_of("n2").sign(_record("n1", _epoch(world, "n1"), b"x"), MESH)
    _tell(world, "n2", "n1", [forged])
    assert not words(world, "n1")
    assert dict(world.hosts["n1"].core.snapshot().refused) == {"other_key": 1}


def _trust(world: World, is_closed: bool, **keys: str) -> None:
    """Give all hosts these admission records: of a node the key of that name."""
    admitted = {node: signer_of(name).public for node, name in keys.items()}
    for host in world.hosts.values():
        world.give(host, on.TrustSet(admitted, is_closed))


def test_closed_mesh_believes_admitted_hosts_only(seed: int) -> None:
    world = settled(5, seed)
    _trust(world, True, n0="n0", n1="n1", n2="n2")
    for number in range(5):
        world.say(f"n{number}", Topic.STANDING, b"here")
    world.run(10.0)
    for number in range(5):
        others = {node for _, node, _ in words(world, f"n{number}")} - {f"n{number}"}
        assert others == {"n0", "n1", "n2"} - {f"n{number}"}
    view = world.hosts["n0"].core.snapshot()
    assert dict(view.refused)["not_admitted"] >= 2
    assert (view.is_closed, view.is_admitted) == (True, True)
    assert world.hosts["n4"].core.snapshot().is_admitted is None
    trusted = {m.identity.node: (m.key, m.basis) for m in view.members}
    assert trusted["n1"] == (fingerprint(signer_of("n1").public), "admitted")
    assert trusted["n4"] == ("", None)
    _trust(world, False, n0="n0", n1="n1", n2="n2")
    world.run(8.0)
    assert {node for _, node, _ in words(world, "n0")} == {f"n{i}" for i in range(5)}


def test_admission_prevails_over_who_came_first(seed: int) -> None:
    world = settled(5, seed)
    thief = signer_of("thief")
    early = thief.sign(_record("n3", _epoch(world, "n3"), b"I came first", 1 << 40), MESH)
    for name in ("n0", "n1", "n2", "n4"):
        _tell(world, "n4", name, [early])
    world.say("n3", Topic.EVIDENCE, b"it is me")
    world.run(2.0)
    assert words(world, "n0")[Topic.EVIDENCE, "n3", 0][2] == b"I came first"
    views = [world.hosts[name].core.snapshot() for name in ("n0", "n1", "n2", "n4")]
    assert any("other_key" in dict(view.refused) for view in views), "those whom n3 told"
    _trust(world, False, n3="n3")
    assert (Topic.EVIDENCE, "n3", 0) not in words(world, "n0")
    world.say("n3", Topic.EVIDENCE, b"it is me still")
    world.run(2.0 + 2 * LAN.record_exchange_gap_s)
    for name in world.running():
        assert words(world, name)[Topic.EVIDENCE, "n3", 0][2] == b"it is me still"


def test_host_that_lost_its_key_is_believed_again_after_it_was_away(seed: int) -> None:
    world = settled(6, seed)
    world.say("n3", Topic.STANDING, b"first")
    world.run(2.0)
    new = Signer.from_seed(bytes(32))
    world.kill("n3")
    world.start("n3", signer=new)  # faster than detection: nobody knows whether it is the same host
    world.say("n3", Topic.STANDING, b"with another key")
    assert world.converges(5.0)
    world.run(10.0)
    assert all((Topic.STANDING, "n3", 0) not in words(world, n) for n in ("n0", "n1", "n5"))
    refused = {
        e.reason for _, h, e in world.events if isinstance(e, on.RecordRefused) and h == "n0"
    }
    assert refused == {"other_key"}
    world.kill("n3")
    world.run(30.0)
    world.start("n3", signer=new)
    world.say("n3", Topic.STANDING, b"after it was held dead")
    assert world.converges(35.0)
    world.run(10.0)
    for name in world.running():
        assert words(world, name)[Topic.STANDING, "n3", 0][2] == b"after it was held dead"
    key = next(m.key for m in world.hosts["n0"].core.snapshot().members if m.identity.node == "n3")
    assert key == fingerprint(new.public)


def test_nobody_takes_the_name_of_a_host_that_is_there(seed: int) -> None:
    world = settled(5, seed)
    world.say("n3", Topic.STANDING, b"me")
    world.run(3.0)
    later = signer_of("thief").sign(
        Record(Topic.STANDING, "n3", 0, _epoch(world, "n3"), 50, b"thief", b"", b""), MESH
    )
    ahead = signer_of("n3").sign(replace(later, epoch=later.epoch + 1, body=b"ahead"), MESH)
    _tell(world, "n4", "n0", [later, ahead])
    assert words(world, "n0")[Topic.STANDING, "n3", 0][2] == b"me"
    assert dict(world.hosts["n0"].core.snapshot().refused)["unknown_host"] >= 1
