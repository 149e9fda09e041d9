"""Gossip as one part of the daemon."""

from __future__ import annotations

import base64
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import structlog.testing
import trio

from sidecar.agent.gossip_side import GossipSide
from sidecar.agent.settings import SidecarSettings
from sidecar.gossip import Status
from sidecar.gossip.records import Topic
from sidecar.registration.events import RegistrationsSeen
from sidecar.registration.expiry import Registrations
from store.catalog import Catalog
from store.errors import InputError
from store.objects.host import HostRegistration
from store.snapshot import Entry, Snapshot
from tests.harness.gossipers import KEY
from tests.harness.nodes import EPOCH
from tests.harness.processes import wait_until_async

WITHIN_S = 30.0


def settings(folder: Path, node: str = "h1", **gossip: Any) -> SidecarSettings:
    (folder / node).mkdir(exist_ok=True)
    told = {
        "enabled": "on",
        "key_file": folder / "keys",
        "port": 0,
        "probe_interval_s": 0.2,
        "probe_timeout_s": 0.08,
        **gossip,
    }
    return SidecarSettings(node=node, data_dir=folder, gossip=told)


def keys(folder: Path) -> None:
    path = folder / "keys"
    path.touch(mode=0o600)
    path.write_text(KEY + "\n")


class Known:
    """Registrations in force, and those that ran out."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostRegistration] = {}
        self.ran_out: dict[str, object] = {}

    def registrations(self) -> MappingProxyType[str, HostRegistration]:
        return MappingProxyType(self.hosts)

    def kept(self) -> dict[str, object]:
        return self.ran_out

    def register(self, host: str, address: str) -> None:
        self.hosts[host] = HostRegistration.model_validate(
            {
                "apiVersion": "meshd.io/v1",
                "kind": "HostRegistration",
                "host": host,
                "gossipAddress": address,
            }
        )


async def start(side: GossipSide, nursery: trio.Nursery, told: list[frozenset[str]]) -> None:
    nursery.start_soon(side.run, told.append, lambda: 0.6)


def held(side: GossipSide, status: Status) -> frozenset[str]:
    assert side.shell is not None
    return side.shell.view().names(status)


def words_held(side: GossipSide) -> int:
    """Records of others that it holds."""
    assert side.shell is not None
    return sum(len(member.records) for member in side.shell.view().members)


def test_without_a_key_file_gossip_is_off_and_says_why(tmp_path: Path) -> None:
    side = GossipSide(settings(tmp_path, enabled="auto"), "127.0.0.1", Known())
    assert side.shell is None
    assert side.address == ""
    state = side.describe()
    assert state["state"] == "off"
    assert f"{tmp_path}/keys does not exist" in state["reason"]


def test_the_key_in_the_data_directory_turns_gossip_on(tmp_path: Path) -> None:
    (tmp_path / "gossip.keys").touch(mode=0o600)
    told = settings(tmp_path, enabled="auto", key_file=None)
    with pytest.raises(InputError, match=r"keyring is empty"):
        GossipSide(told, "127.0.0.1", Known())


def test_a_key_alone_does_not_turn_on_what_was_switched_off(tmp_path: Path) -> None:
    keys(tmp_path)
    side = GossipSide(settings(tmp_path, enabled="off"), "127.0.0.1", Known())
    assert side.describe() == {"state": "off", "reason": "gossip.enabled is off"}


def test_who_wants_gossip_and_has_no_key_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"keys cannot be read.*meshd keyring generate"):
        GossipSide(settings(tmp_path), "127.0.0.1", Known())


def test_a_name_that_frames_cannot_carry_is_refused(tmp_path: Path) -> None:
    keys(tmp_path)
    with pytest.raises(InputError, match="101 characters; gossip carries names of at most 100"):
        GossipSide(settings(tmp_path, "n" * 101), "127.0.0.1", Known())


async def test_off_is_logged_once(tmp_path: Path) -> None:
    side = GossipSide(settings(tmp_path, enabled="off"), "127.0.0.1", Known())
    with structlog.testing.capture_logs() as lines:
        await side.run(lambda _: None, lambda: 1.0)
        await side.leave()
    assert [line["event"] for line in lines] == ["gossip_off"]


async def test_hosts_registered_in_etcd_are_found_as_soon_as_they_are_known(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    keys(tmp_path)
    known = Known()
    one = GossipSide(settings(tmp_path, "h1"), "127.0.0.1", known)
    two = GossipSide(settings(tmp_path, "h2"), "127.0.0.1", Known())
    told: list[frozenset[str]] = []
    await start(one, nursery, told)
    await start(two, nursery, told)
    assert two.address.startswith("127.0.0.1:")
    known.register("h2", two.address)
    one.follow(Catalog.empty(), None)
    await wait_until_async(lambda: held(one, Status.ALIVE), WITHIN_S, "h1 holds h2 alive")
    state = one.describe()
    assert state["members"] == {"alive": 1, "suspect": 0, "dead": 0, "left": 0}
    assert state["address"] == one.address
    assert len(base64.b64decode(state["public_key"])) == 32
    assert state["problems"] == []
    nursery.cancel_scope.cancel()


async def test_gossip_speaks_for_hosts_that_it_holds_alive_and_stops_when_they_die(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    keys(tmp_path)
    known = Known()
    one = GossipSide(settings(tmp_path, "h1"), "127.0.0.1", known)
    two = GossipSide(settings(tmp_path, "h2", seeds=[one.address]), "127.0.0.1", Known())
    told: list[frozenset[str]] = []
    await start(one, nursery, told)
    with trio.CancelScope() as life:
        async with trio.open_nursery() as second:
            await start(two, second, [])
            await wait_until_async(lambda: held(one, Status.ALIVE), WITHIN_S, "h1 holds h2 alive")
            assert not told
            known.ran_out = {"h2": object(), "h3": object()}
            await wait_until_async(lambda: len(told) >= 2, WITHIN_S, "h2 is spoken for twice")
            assert set(told) == {frozenset({"h2"})}
            life.cancel()
    await wait_until_async(lambda: held(one, Status.DEAD), WITHIN_S, "h1 holds h2 dead")
    told.clear()
    with trio.move_on_after(1.0):  # five times what lies between two pulses
        await trio.sleep_forever()
    assert not told
    nursery.cancel_scope.cancel()


async def test_who_is_not_admitted_is_refused_where_admission_is_closed(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    keys(tmp_path)
    one = GossipSide(settings(tmp_path, "h1"), "127.0.0.1", Known())
    two = GossipSide(settings(tmp_path, "h2", seeds=[one.address]), "127.0.0.1", Known())
    assert one.shell is not None
    assert two.shell is not None
    with structlog.testing.capture_logs() as lines:
        await start(one, nursery, [])
        await start(two, nursery, [])
        key = two.describe()["public_key"]
        one.follow(_catalog(key), _closed())
        two.shell.say(Topic.STANDING, 0, b"admitted")
        await wait_until_async(lambda: words_held(one), WITHIN_S, "h1 holds the record of h2")
        one.follow(_catalog(base64.b64encode(b"k" * 32).decode()), _closed())
        assert not words_held(one)
        assert one.describe()["admission"] == {"is_closed": True, "own_key_admitted": None}
        assert [line["admitted"] for line in lines if line["event"] == "gossip_trust_changed"] == [
            1,
            1,
        ]
    nursery.cancel_scope.cancel()


def _catalog(key: str) -> Catalog:
    value = f"apiVersion: meshd.io/v1\nkind: Admission\npublicKey: {key}\n".encode()
    snapshot = Snapshot.of(EPOCH, 5, [Entry("admission/h2", value, 5, 5, 1)])
    return Catalog.empty().apply(snapshot).catalog


def _closed() -> Any:
    from sidecar.mesh.mesh import Mesh

    config = (
        b'{"apiVersion":"meshd.io/v1","kind":"MeshConfig","metadata":{"name":"mesh"},'
        b'"spec":{"admission":"closed"}}'
    )
    snapshot = Snapshot.of(EPOCH, 5, [Entry("mesh", config, 5, 5, 1)])
    registrations = Registrations()
    registrations.handle(RegistrationsSeen({}, None), 0.0)
    return Mesh.build(Catalog.empty().apply(snapshot).catalog, registrations.registrations())


def test_a_registration_without_gossip_is_no_seed(tmp_path: Path) -> None:
    keys(tmp_path)
    known = Known()
    known.register("h2", "")
    known.register("h3", "127.0.0.1:7946")
    side = GossipSide(settings(tmp_path, enabled="off"), "127.0.0.1", known)
    assert list(side._addresses()) == ["127.0.0.1:7946"]  # the one thing that seeds are asked for
