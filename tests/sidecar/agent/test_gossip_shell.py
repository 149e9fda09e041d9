"""The gossip shell on real sockets of loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
import trio

from sidecar.agent.gossip_addresses import split
from sidecar.gossip import Status
from sidecar.gossip import events as on
from sidecar.gossip.records import RECORD_BODY_BYTES_MAX, Topic
from store.errors import InputError
from tests.harness.gossipers import OTHER_KEY, Gossiper
from tests.harness.processes import wait_until_async
from tests.harness.sidecars import listen_port

WITHIN_S = 30.0


async def hold_alive(member: Gossiper, *names: str) -> None:
    await wait_until_async(
        lambda: member.held(Status.ALIVE) == frozenset(names),
        WITHIN_S,
        f"{member.name} holds {names} alive; it holds {member.shell.view().members}",
    )


async def all_hold(members: Iterable[Gossiper], status: Status, name: str) -> None:
    for member in members:
        await wait_until_async(
            partial(_holds, member, status, name), WITHIN_S, f"{member.name} holds {name} {status}"
        )


def _holds(member: Gossiper, status: Status, name: str) -> bool:
    return member.held(status) == {name}


async def trio_of(folder: Path, nursery: trio.Nursery) -> tuple[Gossiper, Gossiper, Gossiper]:
    """Three members that hold each other alive."""
    one = await Gossiper(folder, "one").start(nursery)
    two = await Gossiper(folder, "two", [one.address]).start(nursery)
    three = await Gossiper(folder, "three", [one.address]).start(nursery)
    await hold_alive(one, "two", "three")
    await hold_alive(two, "one", "three")
    await hold_alive(three, "one", "two")
    return one, two, three


def changes(member: Gossiper, node: str) -> list[Status]:
    return [
        told.after
        for told in member.told
        if isinstance(told, on.MemberChanged) and told.identity.node == node
    ]


async def test_members_find_each_other_through_one_seed(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one, _, _ = await trio_of(tmp_path, nursery)
    assert changes(one, "two")[0] is Status.ALIVE
    nursery.cancel_scope.cancel()


async def test_a_killed_member_is_dead_at_the_others_and_alive_in_its_next_life(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one, two, three = await trio_of(tmp_path, nursery)
    epoch = three.shell.view().identity.epoch
    three.kill()
    await all_hold((one, two), Status.DEAD, "three")
    again = await Gossiper(tmp_path, "three", [one.address]).start(nursery)
    assert again.shell.view().identity.epoch > epoch
    await hold_alive(one, "two", "three")
    nursery.cancel_scope.cancel()


async def test_a_member_that_leaves_is_not_taken_for_dead(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one, two, three = await trio_of(tmp_path, nursery)
    await three.shell.leave()
    three.kill()
    await all_hold((one, two), Status.LEFT, "three")
    for member in (one, two):
        assert Status.DEAD not in changes(member, "three")
    nursery.cancel_scope.cancel()


async def test_who_has_another_key_or_mesh_is_invisible_and_counted(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one, _, _ = await trio_of(tmp_path, nursery)
    stranger = await Gossiper(tmp_path, "stranger", [one.address], key=OTHER_KEY).start(nursery)
    other_mesh = await Gossiper(tmp_path, "other", [one.address], mesh="other").start(nursery)
    dropped = one.shell.traffic.dropped
    await wait_until_async(
        lambda: dropped["stream_not_opened"] >= 2, WITHIN_S, "both were turned away"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\x01" + os.urandom(200), split(one.address))
    await wait_until_async(
        lambda: dropped["datagram_not_opened"] >= 1, WITHIN_S, "the datagram was counted"
    )
    assert {m.identity.node for m in one.shell.view().members} == {"two", "three"}
    assert stranger.shell.view().members == other_mesh.shell.view().members == ()
    nursery.cancel_scope.cancel()


async def test_a_record_reaches_the_others_and_is_answered_when_asked_for(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one, two, three = await trio_of(tmp_path, nursery)

    def heard(member: Gossiper, body: bytes) -> bool:
        records = [told.record for told in member.told if isinstance(told, on.RecordHeard)]
        return any((r.node, r.body, r.topic) == ("one", body, Topic.STANDING) for r in records)

    one.shell.say(Topic.STANDING, 0, b"first")
    for member in (two, three):
        await wait_until_async(
            partial(heard, member, b"first"), WITHIN_S, f"{member.name} hears it"
        )
    one.shell.say(Topic.STANDING, 0, b"second")
    two.shell.ask(Topic.STANDING, ["one"])
    await wait_until_async(lambda: heard(two, b"second"), WITHIN_S, "two hears what it asked for")
    nursery.cancel_scope.cancel()


async def test_who_listens_may_speak_at_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    one = await Gossiper(tmp_path, "one").start(nursery)
    two = Gossiper(tmp_path, "two", [one.address])
    two.shell.listen(
        lambda told: (
            two.shell.say(Topic.STANDING, 0, told.identity.node.encode())
            if isinstance(told, on.MemberChanged)
            else None
        )
    )
    await two.start(nursery)
    await wait_until_async(
        lambda: any(isinstance(t, on.RecordHeard) and t.record.body == b"one" for t in one.told),
        WITHIN_S,
        "one hears what two said when it met one",
    )
    nursery.cancel_scope.cancel()


async def test_a_record_that_is_too_long_is_refused_where_it_is_said(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    one = await Gossiper(tmp_path, "one").start(nursery)
    with pytest.raises(InputError, match=r"701 bytes; at most 700"):
        one.shell.say(Topic.STANDING, 0, bytes(RECORD_BODY_BYTES_MAX + 1))
    nursery.cancel_scope.cancel()


async def test_a_rotation_of_keys_loses_nobody(tmp_path: Path, nursery: trio.Nursery) -> None:
    members = await trio_of(tmp_path, nursery)
    old = members[0].shell.keys.fingerprints()[0]
    for member in members:
        assert member.shell.keyring_install(OTHER_KEY).changed
    for member in members:
        assert member.shell.keyring_use(OTHER_KEY).fingerprints[1] == old
    for member in members:
        assert len(member.shell.keyring_remove(old).fingerprints) == 1
    before = [member.shell.traffic.packets["in", "datagram"] for member in members]
    await wait_until_async(
        lambda: all(
            member.shell.traffic.packets["in", "datagram"] >= count + 10
            for member, count in zip(members, before, strict=True)
        ),
        WITHIN_S,
        "ten more datagrams came in at each",
    )
    for member in members:
        assert len(member.held(Status.ALIVE)) == 2
        assert all(Status.DEAD not in changes(member, other.name) for other in members)
    nursery.cancel_scope.cancel()


async def test_a_key_changed_by_hand_is_taken_up(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.agent.gossip_shell.KEYS_LOOKED_AT_S", 0.05)
    one = await Gossiper(tmp_path, "one").start(nursery)
    one.shell.keys.path.write_text(f"{OTHER_KEY}\n")
    await wait_until_async(
        lambda: one.shell.keys.keyring.keys == (b"2" * 32,), WITHIN_S, "the new key is in use"
    )
    nursery.cancel_scope.cancel()


async def test_a_port_in_use_says_which_and_what_to_set(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        port = listen_port()  # others' outgoing connections do not take it in the meantime
        taken.bind(("127.0.0.1", port))
        with pytest.raises(
            InputError, match=rf"127\.0\.0\.1:{port}: Address already in use.*gossip\.port"
        ):
            Gossiper(tmp_path, "one", port=port)
    Gossiper(tmp_path, "one", port=port).shell.close()


async def test_the_port_is_free_when_the_shell_ended(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        port = listen_port()
        await Gossiper(tmp_path, "one", port=port).start(nursery)
        nursery.cancel_scope.cancel()
    Gossiper(tmp_path, "one", port=port).shell.close()


async def test_seeds_that_do_not_answer_are_tried_again(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        one = await Gossiper(tmp_path, "one", [f"127.0.0.1:{port}"]).start(nursery)
        await wait_until_async(
            lambda: one.shell.traffic.dropped["call_failed"] >= 1, WITHIN_S, "the seed was asked"
        )
    await Gossiper(tmp_path, "late", port=port).start(nursery)
    await hold_alive(one, "late")
    nursery.cancel_scope.cancel()
