"""A peer that holds the gossip key and lies: about what etcd holds, and about what it sends. Nothing changes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import trio

from sidecar.agent.relay_streams import RelayCaller, RelayServer
from sidecar.gossip import LAN, Status, Topic
from sidecar.relay.wire import Chunk, Offer, decode, encode
from sidecar.standing.codec import encode as encode_standing
from sidecar.standing.model import Standing, Sync
from store.snapshot import Epoch
from tests.e2e.test_relay_follow import Meshed, meshed
from tests.harness.gossip_settings import wait_members
from tests.harness.gossipers import KEY, Gossiper
from tests.harness.processes import wait_until_async
from tests.harness.reviews import REVIEWS, reviews_to

pytestmark = [pytest.mark.real, pytest.mark.slow]

__all__ = ["meshed"]


class Liar(Gossiper):
    """Gossips as anybody does; answers the relay by what an honest host says, with one byte of each chunk changed."""

    def __init__(self, folder: Path, honest: str, seeds: tuple[str, ...]) -> None:
        super().__init__(folder, "liar", seeds, key=KEY, mesh="/meshd/v1", settings=LAN)
        self._honest = honest
        self._caller = RelayCaller(lambda: self.shell.keys.keyring, self.shell.traffic)
        self.chunks = self.offers = 0
        server = RelayServer(lambda: self.shell.keys.keyring, self._answer, self.shell.traffic)
        self.shell.serve_relay(server.serve)

    def kill(self) -> None:
        super().kill()
        self._caller.close_idle(everything=True)

    def claim(self, cluster_id: int, revision: int, hash_hex: str) -> None:
        """Say that this is what etcd holds."""
        standing = Standing(Epoch(1, cluster_id), revision, hash_hex[:32], revision, Sync.STORE)
        self.shell.say(Topic.STANDING, 0, encode_standing(standing))

    async def _answer(self, client: str, body: bytes) -> bytes:
        answer = await self._caller.call(self._honest, body)
        word = decode(answer)
        self.offers += isinstance(word, Offer)
        if isinstance(word, Chunk):
            self.chunks += 1
            at = random.randrange(len(word.body))
            changed = bytearray(word.body)
            changed[at] ^= 1
            return encode(Chunk(word.index, bytes(changed), word.digest, word.newest))
        return answer


async def test_claims_that_nobody_else_makes_change_nothing(meshed: Meshed, tmp_path: Path) -> None:
    far, near = meshed.far, meshed.near
    config = far.status()["config"]
    cluster_id = int(config["epoch"].partition(".")[0], 16)
    addresses = [one.status()["gossip"]["address"] for one in (far, near)]
    liar = Liar(tmp_path, addresses[1], tuple(addresses))
    async with trio.open_nursery() as nursery:
        await liar.start(nursery)
        await wait_until_async(
            lambda: len(liar.held(Status.ALIVE)) == 3, 60.0, "the liar to be a member"
        )
        await trio.to_thread.run_sync(lambda: wait_members(far, alive=3))
        await trio.to_thread.run_sync(meshed.cut_off)
        liar.claim(cluster_id, config["revision_received"] + 10_000, "ab" * 16)
        await wait_until_async(
            lambda: _heard(meshed, config["revision_received"] + 10_000),
            60.0,
            "the lie to be heard",
        )
        # Nothing but the truth is followed, whatever is claimed beside it.
        for subset in ("v2", "v1"):
            took_s = await trio.to_thread.run_sync(meshed.put_beyond, subset)
            print(f"the truth was followed within {took_s:.2f} s")
            assert await trio.to_thread.run_sync(lambda: far.ask(REVIEWS).version) == subset
        status = far.status()
        assert status["config"]["revision_received"] < config["revision_received"] + 10_000
        assert status["config"]["epoch"] == config["epoch"]
        liar.kill()
        nursery.cancel_scope.cancel()


def _heard(meshed: Meshed, revision: int) -> bool:
    import json

    rows = json.loads(meshed.far.page("/v1/mesh")[1])["members"]
    return any(row["node"] == "liar" and row.get("received") == revision for row in rows)


async def test_content_that_a_peer_alters_is_refused_and_taken_from_another(
    meshed: Meshed, tmp_path: Path
) -> None:
    """It claims what is true, as soon as it is, so that it is asked like anybody else; what it sends is not."""
    far, near, mesh = meshed.far, meshed.near, meshed.mesh
    cluster_id = int(far.status()["config"]["epoch"].partition(".")[0], 16)
    addresses = [one.status()["gossip"]["address"] for one in (far, near)]
    liar = Liar(tmp_path, addresses[1], tuple(addresses))

    async def echo() -> None:
        while True:
            config = (await trio.to_thread.run_sync(near.status))["config"]
            liar.claim(cluster_id, config["revision_received"], config["hash"])
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        await liar.start(nursery)
        await trio.to_thread.run_sync(lambda: wait_members(far, alive=3))
        await trio.to_thread.run_sync(meshed.cut_off)
        nursery.start_soon(echo)
        end = time.monotonic() + 120.0
        turn = 0
        while not liar.chunks:
            assert time.monotonic() < end, "the liar was never asked"
            turn += 1
            subset = ("v1", "v2")[turn % 2]
            await trio.to_thread.run_sync(meshed.put_beyond, subset)
            assert await trio.to_thread.run_sync(lambda: far.ask(REVIEWS).version) == subset
        revision = await trio.to_thread.run_sync(lambda: mesh.put(reviews_to("v1"), wait=False))
        await trio.to_thread.run_sync(far.wait_in_force, revision)
        liar.kill()
        nursery.cancel_scope.cancel()
    status = far.status()
    assert status["relay"]["counters"]["peers_wrong"] >= 1
    assert "liar" in status["relay"]["left_alone"]
    # What still changes meanwhile (a lease that runs out) reaches one of them first.
    far.wait_status(
        "the content of who has it from etcd",
        lambda found: found["config"]["hash"] == near.status()["config"]["hash"],
    )
