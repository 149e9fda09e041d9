"""Requirements 8, 11 and 12: whom a core probes and when, told by hand."""

from __future__ import annotations

import random

from sidecar.gossip import LAN, Gossip, Identity, Status, frames
from sidecar.gossip import events as on
from sidecar.gossip.claims import Claim
from sidecar.gossip.probing import RELAYED_MAX


def _peer(number: int) -> Identity:
    return Identity(f"p{number}", f"10.0.1.{number}:7946", 1)


def _core(peers: int) -> Gossip:
    core = Gossip(Identity("me", "10.0.0.1:7946", 1), random.Random(7))
    core.handle(on.Started(), 0.0)
    for number in range(peers):
        core.handle(on.DatagramReceived(_say(number)), 0.0)
    return core


def _say(number: int, *messages: frames.Message) -> bytes:
    return frames.encode(
        frames.Sender(_peer(number), 0), [frames.encode_message(m) for m in messages]
    )


def _sent(effects: list[on.Effect], kind: type[frames.Message]) -> list[tuple[str, frames.Message]]:
    found = []
    for effect in effects:
        if isinstance(effect, on.SendDatagram):
            frame = frames.decode(effect.body)
            assert frame is not None
            found += [(effect.address, m) for m in frame.messages if isinstance(m, kind)]
    return found


def _until_ping(core: Gossip) -> tuple[float, str, frames.Ping]:
    while True:
        due_s = core.deadline()
        assert due_s is not None
        for address, message in _sent(core.handle(on.TimePassed(), due_s), frames.Ping):
            assert isinstance(message, frames.Ping)
            return due_s, address, message


def _number(address: str) -> int:
    return int(address.split(":")[0].rsplit(".", 1)[1])


def test_08_every_member_is_probed_once_before_any_again() -> None:
    core = _core(7)
    for _ in range(4):
        targets = []
        for _ in range(7):
            now_s, address, ping = _until_ping(core)
            targets.append(address)
            core.handle(on.DatagramReceived(_say(_number(address), frames.Ack(ping.seq, 0))), now_s)
        assert sorted(targets) == [f"10.0.1.{n}:7946" for n in range(7)]


def test_08_newcomer_is_probed_within_one_round_at_a_place_that_varies() -> None:
    places = set()
    for seed in range(12):
        core = Gossip(Identity("me", "10.0.0.1:7946", 1), random.Random(seed))
        core.handle(on.Started(), 0.0)
        for number in range(6):
            core.handle(on.DatagramReceived(_say(number)), 0.0)
        now_s, address, ping = _until_ping(core)
        core.handle(on.DatagramReceived(_say(_number(address), frames.Ack(ping.seq, 0))), now_s)
        core.handle(on.DatagramReceived(_say(99)), now_s)
        for place in range(6):
            now_s, address, ping = _until_ping(core)
            core.handle(on.DatagramReceived(_say(_number(address), frames.Ack(ping.seq, 0))), now_s)
            if _number(address) == 99:
                places.add(place)
                break
        else:
            raise AssertionError("the newcomer is not probed in this round")
    assert len(places) > 2


def _unanswered(core: Gossip) -> tuple[float, frames.Ping, int, list[str]]:
    """A probe whose direct answer does not come: when relays were asked, the ping, its target and the relays."""
    now_s, address, ping = _until_ping(core)
    effects = core.handle(on.TimePassed(), now_s + LAN.probe_timeout_s)
    relays = [a for a, m in _sent(effects, frames.PingRequest)]
    assert len(relays) == LAN.relays
    assert address not in relays
    assert len([e for e in effects if isinstance(e, on.CallPeer)]) == 1
    return now_s, ping, _number(address), relays


def test_11_missing_nacks_are_held_against_ourselves() -> None:
    for nacks, health in ((3, 0), (2, 1), (0, 3)):
        core = _core(7)
        start_s, ping, target, relays = _unanswered(core)
        for relay in relays[:nacks]:
            nack = _say(_number(relay), frames.Nack(ping.seq))
            core.handle(on.DatagramReceived(nack), start_s + 0.9)
        effects = core.handle(on.TimePassed(), start_s + LAN.probe_interval_s)
        assert _ended(effects) == [(f"p{target}", on.ProbeOutcome.SILENT, LAN.probe_interval_s)]
        assert core.snapshot().health == health
        changed = [e for e in effects if isinstance(e, on.MemberChanged)]
        assert [(c.identity.node, c.after) for c in changed] == [(f"p{target}", Status.SUSPECT)]


def _ended(effects: list[on.Effect]) -> list[tuple[str, on.ProbeOutcome, float]]:
    return [
        (one.node, one.outcome, round(one.took_s, 6))
        for one in effects
        if isinstance(one, on.ProbeEnded)
    ]


def test_11_answer_by_way_of_a_relay_counts() -> None:
    core = _core(7)
    start_s, ping, target, relays = _unanswered(core)
    effects = core.handle(
        on.DatagramReceived(_say(_number(relays[0]), frames.Ack(ping.seq, 0))), start_s + 0.9
    )
    assert _ended(effects) == [(f"p{target}", on.ProbeOutcome.ANSWERED, 0.9)]
    core.handle(on.TimePassed(), start_s + LAN.probe_interval_s)
    assert core.snapshot().names(Status.ALIVE) == {f"p{n}" for n in range(7)}


def test_11_late_and_foreign_answers_are_ignored() -> None:
    core = _core(7)
    start_s, ping, target, _ = _unanswered(core)
    foreign = _say(target, frames.Ack((ping.seq + 5) % (1 << 32), 0))
    core.handle(on.DatagramReceived(foreign), start_s + 0.5)
    core.handle(on.TimePassed(), start_s + LAN.probe_interval_s)
    core.handle(on.DatagramReceived(_say(target, frames.Ack(ping.seq, 0))), start_s + 1.01)
    assert core.snapshot().names(Status.SUSPECT) == {f"p{target}"}


def test_11_relay_passes_answers_on_and_says_when_none_came() -> None:
    core = _core(3)
    request = frames.PingRequest(77, "p1", "10.0.1.1:7946")
    asked = core.handle(on.DatagramReceived(_say(0, request)), 0.1)
    (address, ping), *_ = _sent(asked, frames.Ping)
    assert address == "10.0.1.1:7946"
    assert isinstance(ping, frames.Ping)
    nacked: list[tuple[str, frames.Message]] = []
    while core.snapshot().relaying and not nacked:
        due_s = core.deadline()
        assert due_s is not None
        nacked = _sent(core.handle(on.TimePassed(), due_s), frames.Nack)
    assert nacked == [("10.0.1.0:7946", frames.Nack(77))]
    late = core.handle(on.DatagramReceived(_say(1, frames.Ack(ping.seq, 0))), 0.6)
    passed_on = _sent(late, frames.Ack)
    assert [(a, m.seq) for a, m in passed_on if isinstance(m, frames.Ack)] == [
        ("10.0.1.0:7946", 77)
    ]


def test_38_relays_are_bounded() -> None:
    core = _core(3)
    for seq in range(2 * RELAYED_MAX):
        core.handle(
            on.DatagramReceived(_say(0, frames.PingRequest(seq, "p1", "10.0.1.1:7946"))), 0.0
        )
    assert core.snapshot().relaying == RELAYED_MAX


def test_12_first_ping_to_a_suspect_carries_the_accusation_and_it_refutes_at_once() -> None:
    core = _core(1)
    suspicion = Claim(_peer(0), Status.SUSPECT, 0, ("p9",))
    core.handle(on.DatagramReceived(_say(9, suspicion)), 0.0)
    while True:
        due_s = core.deadline()
        assert due_s is not None
        effects = core.handle(on.TimePassed(), due_s)
        if any(a == "10.0.1.0:7946" for a, _ in _sent(effects, frames.Ping)):
            break
    told = [m for a, m in _sent(effects, Claim) if a == "10.0.1.0:7946"]
    assert suspicion in told
    victim = Gossip(_peer(0), random.Random(1))
    ping = next(
        e for e in effects if isinstance(e, on.SendDatagram) and e.address == "10.0.1.0:7946"
    )
    answer = victim.handle(on.DatagramReceived(ping.body), 1.0)
    acks = [e for e in answer if isinstance(e, on.SendDatagram)]
    core.handle(on.DatagramReceived(acks[0].body), due_s)
    core.handle(on.DatagramReceived(acks[-1].body), due_s)
    assert "p0" in core.snapshot().names(Status.ALIVE)


def test_pings_meant_for_another_stay_unanswered() -> None:
    core = _core(2)
    effects = core.handle(on.DatagramReceived(_say(0, frames.Ping(5, "somebody-else", 0))), 0.0)
    assert not _sent(effects, frames.Ack)
