"""The store, watched or at rest: nothing that is known is lost when a watch is let go of or taken up."""

from __future__ import annotations

import trio

from sidecar.agent.store_side import StoreSide, Taking
from store.etcd.settings import EtcdSettings
from store.mirror.status import MirrorState
from store.snapshot import Snapshot
from tests.harness.nodes import EPOCH, virtual_service
from tests.harness.processes import free_port, wait_until_async


def at(revision: int) -> Snapshot:
    return Snapshot.of(EPOCH, revision, [virtual_service(revision, 1)])


class Told:
    """What a side has told, and the side; there is no etcd."""

    def __init__(self, *, seed: Snapshot | None = None, is_wanted: bool = True) -> None:
        self.published: list[int] = []
        self.changes = 0
        settings = EtcdSettings(endpoints=(f"http://127.0.0.1:{free_port()}",))
        taking = Taking(
            publish=lambda one: self.published.append(one.revision),
            each=lambda _: None,
            changed=self._change,
        )
        self.side = StoreSide(settings, taking, seed=seed, is_wanted=is_wanted)

    def _change(self) -> None:
        self.changes += 1


async def test_at_rest_it_is_not_started_and_knows_what_peers_brought() -> None:
    told = Told(seed=at(5), is_wanted=False)
    assert not told.side.is_watched
    assert (told.side.status.state, told.side.status.revision) == (MirrorState.IDLE, 5)
    told.side.relayed(at(7))
    assert (told.side.status.revision, told.side.status.epoch) == (7, EPOCH)
    told.side.accept_epoch()  # nobody holds anything: nothing happens
    assert told.published == []


async def test_a_watch_that_is_taken_up_goes_on_from_what_peers_brought() -> None:
    told = Told(seed=at(5), is_wanted=False)
    told.side.relayed(at(7))
    told.side.want(True)
    told.side.want(True)
    assert told.side.is_watched
    assert told.side.status.revision == 7
    assert told.changes == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.side.run)
        await wait_until_async(
            lambda: told.side.status.state is MirrorState.BACKOFF, 30.0, "a try to reach etcd"
        )
        told.side.relayed(at(9))
        assert told.side.status.revision == 9
        told.side.want(False)
        assert (told.side.status.state, told.side.status.revision) == (MirrorState.IDLE, 9)
        told.side.want(True)
        await wait_until_async(
            lambda: told.side.status.state is MirrorState.BACKOFF, 30.0, "another try"
        )
        assert told.side.status.revision == 9
        nursery.cancel_scope.cancel()
