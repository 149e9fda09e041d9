"""Log lines of gossip."""

from __future__ import annotations

import structlog.testing
import trio
import trio.testing

from sidecar.agent.gossip_log import LINES_MAX, WINDOW_S, GossipLog
from sidecar.gossip import Identity, Status
from sidecar.gossip import events as on


def dead(number: int) -> on.MemberChanged:
    identity = Identity(f"h{number}", "10.0.0.1:7946", 7)
    return on.MemberChanged(identity, Status.SUSPECT, Status.DEAD, 0)


async def test_each_change_of_a_member_is_one_line() -> None:
    with structlog.testing.capture_logs() as lines:
        GossipLog().note(dead(1))
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("gossip_member_changed", "warning")
    assert (line["peer"], line["before"], line["after"]) == ("h1", "suspect", "dead")


async def test_a_storm_is_counted_and_the_next_window_begins_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = GossipLog()
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.run)
            for number in range(300):
                log.note(dead(number))
            assert len(lines) == LINES_MAX
            await trio.sleep(WINDOW_S + 1)
            assert lines[-1]["event"] == "gossip_members_changed"
            assert lines[-1]["dead"] == 300 - LINES_MAX
            log.note(dead(1))
            assert lines[-1]["event"] == "gossip_member_changed"
            nursery.cancel_scope.cancel()


async def test_what_a_person_must_mend_is_an_error() -> None:
    with structlog.testing.capture_logs() as lines:
        log = GossipLog()
        log.note(on.NameConflict(Identity("h1", "10.0.0.2:7946", 9), True))
        log.note(on.RecordRefused("h2", "signature"))
        log.note(on.PeerRefused(Identity("h3", "10.0.0.3:7946", 1), "it speaks 7"))
        log.note(on.UdpDegraded("h4", True))
        log.note(on.IdentityChanged(Identity("h1", "10.0.0.1:7946", 10)))
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("gossip_name_conflict", "error"),
        ("gossip_record_refused", "error"),
        ("gossip_peer_refused", "warning"),
        ("gossip_udp_degraded", "warning"),
        ("gossip_epoch_raised", "info"),
    ]
