"""Where this host's configuration comes from: etcd, peers, or the disk; and how old what it serves may be.

etcd ─► StoreSide ─┐             each snapshot of etcd is also told to the relay, which vouches for it and
peers ◄─► relay ───┴─► node      gives it to peers; what peers bring is where the watch on etcd goes on
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from sidecar.agent.gossip_side import GossipSide, Registered
from sidecar.agent.log import log
from sidecar.agent.relay_answer import describe_off, describe_relay
from sidecar.agent.relay_shell import RelayShell
from sidecar.agent.relay_shell import Taking as RelayTaking
from sidecar.agent.settings import SidecarSettings
from sidecar.agent.store_side import StoreSide
from sidecar.agent.store_side import Taking as StoreTaking
from sidecar.mesh.model import Locality
from sidecar.node.events import Source
from sidecar.relay import Relay, StoreLink
from sidecar.relay import events as on
from sidecar.standing.model import Sync
from store.errors import ConflictError
from store.mirror.status import MirrorState, MirrorStatus
from store.snapshot import Snapshot

__all__ = ["STALE_AFTER_S", "Held", "Sources"]

STALE_AFTER_S = 8.0
"""How long the store may be silent before we say so: its heartbeat (5 s) and some. A member that restarts, or a watch
opened anew, is none of the others' business, and each word costs the mesh some datagrams."""
PEERS_HEARD_S = 12.0
"""A peer that says that it has etcd in reach has heard of it since that long ago: silence is taken for death after 10 s
(`MirrorSettings.silence_s`), and gossip takes some time to say so."""
SAID_EVERY_S = 1.0
"""Between looks whether there is something to say of it in the log."""


@dataclass(frozen=True, slots=True)
class Held:
    """An epoch that waits for a person."""

    cluster_id: int
    revision: int
    reason: str
    by: str
    """Who shows it: `etcd` or `peers`."""


class Sources:
    """All of them, for one sidecar.

    Args:
        settings: The effective settings.
        gossip: Gossip; the relay needs it.
        registered: Registrations in force: where hosts are.
        take: Takes each snapshot that is to be in force, with where it came from.
        changed: Told when anything of this may have changed.
        seed: The last known good, from disk.
    """

    def __init__(
        self,
        settings: SidecarSettings,
        gossip: GossipSide,
        registered: Registered,
        take: Callable[[Snapshot, Source], None],
        changed: Callable[[], None],
        *,
        seed: Snapshot | None,
    ) -> None:
        self._take = take
        self._changed = changed
        self._registered = registered
        self._seed = seed
        self._seen: object = None
        self._is_from_peers = False
        self._said: Sync | None = None
        self.relay: RelayShell | None = None
        """The relay; None where it is off."""
        self.off = _why_off(settings, gossip)
        """Why it is off; empty when it is on."""
        options = settings.relay
        if not self.off and gossip.shell is not None:
            core = Relay(
                settings.node,
                random.Random(os.urandom(16)),
                options.settings(),
                mesh_id=gossip.shell.keys.mesh_id,
                signer=gossip.signer,
                locality=settings.locality_value,
            )
            taking = RelayTaking(adopt=self._adopt, watch=self._watch, localities=self._localities)
            self.relay = RelayShell(core, gossip.shell, taking)
        self.store = StoreSide(
            settings.etcd,
            StoreTaking(publish=self._publish, each=self._each, changed=self._store_changed),
            seed=seed,
            is_wanted=self.relay is None or self.relay.is_watching,
        )
        """etcd."""
        if self.off and options.watch_share < 1:
            log.warning("watch_held", reason=f"watch_share needs the relay: {self.off}")

    # -- for the rest of the sidecar ------------------------------------------------------------

    @property
    def status(self) -> MirrorStatus:
        """One look at the Mirror."""
        return self.store.status

    def heard_s(self) -> float | None:
        """Since when at least etcd has spoken of what is followed, here or to a peer; None: neither can be told."""
        if self.status.is_fresh:
            return self.status.heard_s
        relay = self.relay
        if relay is None or relay.sync is not Sync.PEERS or not relay.is_current():
            return None
        return trio.current_time() - PEERS_HEARD_S

    def sync(self, now_s: float) -> Sync:
        """Where this host has its configuration from, as it tells the others."""
        mirror = self.status
        found = _alone(mirror) if self.relay is None else self.relay.sync
        was_heard = mirror.heard_s is not None and now_s - mirror.heard_s < STALE_AFTER_S
        if found in (Sync.PEERS, Sync.STALE) and was_heard and not self._is_from_peers:
            return Sync.STORE
        return found

    def source(self, newest: Source | None) -> Source | None:
        """Who vouches for what is served.

        Args:
            newest: Where the newest snapshot came from.
        """
        if newest is None or self.status.is_fresh:
            return None if newest is None else Source.ETCD
        is_current = self.relay is not None and self.relay.is_current()
        return Source.PEERS if is_current else newest

    def held(self) -> Held | None:
        """The epoch that waits for a person, if any."""
        mirror = self.status.held
        if mirror is not None:
            return Held(mirror.cluster_id, mirror.revision, mirror.reason, "etcd")
        peers = None if self.relay is None else self.relay.view().held
        if peers is not None:
            return Held(peers.cluster_id, peers.revision, peers.reason, "peers")
        return None

    def is_held(self) -> bool:
        """Whether what is served is held against another epoch."""
        if self.relay is not None:
            return self.relay.sync is Sync.HELD
        return self.status.state is MirrorState.HELD

    def stale_s(self, now_s: float, disk_age_s: float | None) -> float | None:
        """Seconds since what is served was last known to be current; None while it is.

        Args:
            now_s: Monotonic seconds.
            disk_age_s: Age of the last known good, where that is what is served and nothing was heard since.
        """
        mirror, relay = self.status, self.relay
        if mirror.is_fresh or (relay is not None and relay.is_current()):
            return None
        heard = [] if mirror.held is not None else [mirror.heard_s]
        heard += [] if relay is None else [relay.current_s]
        known = [at_s for at_s in heard if at_s is not None]
        if known:
            return round(now_s - max(known), 3)
        if mirror.held is not None and disk_age_s is None:
            return round(now_s - mirror.since_s, 3)
        return disk_age_s

    def accept_epoch(self) -> Held:
        """Follow the epoch that is held.

        Raises:
            ConflictError: Nothing is held.
        """
        held = self.held()
        if held is None:
            raise ConflictError(
                "no other epoch of the store is held", hint="Nothing needs to be accepted"
            )
        if self.status.held is not None:
            self.store.accept_epoch()
        if self.relay is not None and self.relay.view().held is not None:
            self.relay.handle(on.EpochAccepted())
        return held

    def describe(self, now_s: float) -> dict[str, Any]:
        """The `relay` part of the status."""
        return describe_off(self.off) if self.relay is None else describe_relay(self.relay, now_s)

    def follow(self) -> None:
        """A snapshot was taken in: hosts may be elsewhere."""
        registrations = self._registered.registrations()
        if self.relay is not None and registrations is not self._seen:
            self._seen = registrations
            self.relay.places_changed()

    # -- life -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Tell the relay what is there before anything was heard."""
        if self.relay is not None:
            if self._seed is not None:
                self.relay.handle(on.SnapshotSeen(self._seed, is_first_hand=False))
            self.relay.handle(on.StoreSeen(self._link()))

    async def run(self) -> None:
        """Follow etcd and peers until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.store.run)
            nursery.start_soon(self._say)
            if self.relay is not None:
                nursery.start_soon(self.relay.run)

    async def _say(self) -> None:
        """Log where configuration comes from, whenever that has changed."""
        while True:
            await trio.sleep(SAID_EVERY_S)
            sync = self.sync(trio.current_time())
            before, self._said = self._said, sync
            if sync is before or (before is None and sync is Sync.STORE):
                continue
            facts = {"store": self.status.state.value, "revision": self._revision()}
            match sync:
                case Sync.STORE:
                    log.info("following_store", **facts)
                case Sync.PEERS:
                    is_choice = not self.store.is_watched
                    (log.info if is_choice else log.warning)("following_peers", **facts)
                case Sync.STALE:
                    log.warning("following_nobody", **facts)
                case Sync.HELD:
                    pass  # the Mirror, or the relay, has said so with its reason
            self._changed()

    def _revision(self) -> int:
        return self.status.revision if self.relay is None else self.relay.view().revision

    # -- what comes -----------------------------------------------------------------------------

    def _publish(self, snapshot: Snapshot) -> None:
        self._is_from_peers = False
        self._take(snapshot, Source.ETCD)

    def _each(self, snapshot: Snapshot) -> None:
        if self.relay is not None:
            self.relay.handle(on.SnapshotSeen(snapshot))

    def _store_changed(self) -> None:
        if self.status.is_fresh:
            self._is_from_peers = False
        if self.relay is not None:
            self.relay.handle(on.StoreSeen(self._link()))
        self._changed()

    def _link(self) -> StoreLink:
        if not self.store.is_watched:
            return StoreLink.UNWATCHED
        match self.status.state:
            case MirrorState.WATCHING:
                return StoreLink.FOLLOWED
            case MirrorState.HELD:
                return StoreLink.HELD
            case _:
                return StoreLink.AWAY

    def _adopt(self, snapshot: Snapshot) -> None:
        self._is_from_peers = True
        self.store.relayed(snapshot)
        self._take(snapshot, Source.PEERS)

    def _watch(self, is_wanted: bool) -> None:
        log.info("watch_taken" if is_wanted else "watch_let_go")
        self.store.want(is_wanted)

    def _localities(self) -> Mapping[str, Locality]:
        rows = self._registered.registrations().items()
        return {host: Locality.parse(row.locality) for host, row in rows if row.locality}


def _why_off(settings: SidecarSettings, gossip: GossipSide) -> str:
    if not settings.relay.enabled:
        return "relay.enabled is false"
    return "" if gossip.shell is not None else f"gossip is off: {gossip.off}"


def _alone(mirror: MirrorStatus) -> Sync:
    """The same for a host that has no peers."""
    if mirror.held is not None:
        return Sync.HELD
    return Sync.STORE if mirror.is_fresh else Sync.STALE
