"""Log lines of gossip: one for each change of a member, and a count instead in a storm.

A partition changes hundreds of members at once; each of them is in `meshd peers`, so the log need not name all.
"""

from __future__ import annotations

from collections import Counter

import trio

from sidecar.agent.gossip_shell import Told
from sidecar.agent.log import log
from sidecar.gossip import Status
from sidecar.gossip import events as on

__all__ = ["LINES_MAX", "WINDOW_S", "GossipLog"]

LINES_MAX = 20
"""Changes of members that are logged one by one in each window."""
WINDOW_S = 10.0
"""What comes beyond is counted, and said at the window's end."""


class GossipLog:
    """Writes down what gossip tells."""

    def __init__(self) -> None:
        self._lines = 0
        self._unsaid: Counter[str] = Counter()
        self._began = trio.Event()

    def note(self, told: Told) -> None:
        """Write one thing down, or count it."""
        match told:
            case on.MemberChanged():
                self._member(told)
            case on.UdpDegraded(node, degraded):
                state = "gossip_udp_degraded" if degraded else "gossip_udp_restored"
                log.warning(state, peer=node) if degraded else log.info(state, peer=node)
            case on.NameConflict(rival, lost):
                log.error(
                    "gossip_name_conflict",
                    rival=rival.address,
                    rival_epoch=rival.epoch,
                    lost=lost,
                    hint="Give every host a node id of its own",
                )
            case on.IdentityChanged(identity):
                log.info("gossip_epoch_raised", epoch=identity.epoch)
            case on.PeerRefused(identity, reason):
                log.warning("gossip_peer_refused", peer=identity.node, reason=reason)
            case on.RecordRefused(node, reason):
                log.error("gossip_record_refused", peer=node, reason=reason)
            case _:
                pass  # what records say is their consumers' to log

    async def run(self) -> None:
        """End each window; runs until cancelled, and wakes only after changes."""
        while True:
            await self._began.wait()
            await trio.sleep(WINDOW_S)
            self._began = trio.Event()
            self._lines = 0
            if self._unsaid:
                log.warning("gossip_members_changed", **dict(sorted(self._unsaid.items())))
                self._unsaid.clear()

    def _member(self, told: on.MemberChanged) -> None:
        self._began.set()
        self._lines += 1
        if self._lines > LINES_MAX:
            self._unsaid[told.after.value] += 1
            return
        facts: dict[str, object] = {
            "peer": told.identity.node,
            "address": told.identity.address,
            "epoch": told.identity.epoch,
            "before": told.before.value if told.before is not None else None,
            "after": told.after.value,
        }
        if told.accusers:
            facts["accusers"] = told.accusers
        write = log.warning if told.after is Status.DEAD else log.info
        write("gossip_member_changed", **facts)
