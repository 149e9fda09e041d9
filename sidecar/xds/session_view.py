"""The session as status shows it: one word for how far Envoy is, and counts by type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.xds.events import ResourceRejected, SessionState, SessionView, TypeView
from sidecar.xds.resource import TypeUrl
from sidecar.xds.session_channel import Channel
from sidecar.xds.session_ledger import Ledger, Rejection

__all__ = ["Tally", "rejected_of", "told", "view_of"]


@dataclass(slots=True)
class Tally:
    """Counters of one type since the session began."""

    acks: int = 0
    nacks: int = 0
    resources_sent: int = 0


def view_of(
    *,
    known: bool,
    attached: bool,
    node_id: str,
    label: str,
    in_force: str,
    settled: bool,
    ledgers: Mapping[TypeUrl, Ledger],
    channels: Mapping[TypeUrl, Channel],
    tally: Mapping[TypeUrl, Tally],
) -> SessionView:
    """Freeze the session's state.

    Args:
        known: Whether anything was ever desired.
        attached: Whether a stream is open.
        node_id: Envoy's node id.
        label: Label of what is desired.
        in_force: Last label told to be in force.
        settled: Whether all of `label` is acknowledged.
        ledgers: Desired, accepted and refused resources by type.
        channels: State of the present stream by type; empty when there is none.
        tally: Counters by type.
    """
    clusters = channels.get(TypeUrl.CLUSTER)
    flights = clusters.flights.values() if clusters is not None else ()
    warming = min((flight.sent_at_s for flight in flights), default=None)
    return SessionView(
        state=_state(known=known, attached=attached, settled=settled, channels=channels),
        node_id=node_id,
        label=label,
        in_force=in_force,
        warming_since_s=warming,
        rejected=rejected_of(ledgers),
        types={
            type_url: _count(ledgers[type_url], channels.get(type_url), tally[type_url])
            for type_url in TypeUrl
        },
    )


def rejected_of(ledgers: Mapping[TypeUrl, Ledger]) -> tuple[ResourceRejected, ...]:
    """What is refused, by type and name."""
    return tuple(
        told(type_url, rejection)
        for type_url, ledger in ledgers.items()
        for _, rejection in sorted(ledger.rejected.items(), key=lambda item: item[0])
    )


def told(type_url: TypeUrl, rejection: Rejection) -> ResourceRejected:
    """A refusal in the words of the session's users."""
    resource = rejection.resource
    return ResourceRejected(
        type_url,
        resource.name,
        resource.version,
        rejection.detail,
        resource.sources,
        rejection.is_conflict,
    )


def _state(
    *, known: bool, attached: bool, settled: bool, channels: Mapping[TypeUrl, Channel]
) -> SessionState:
    if not attached:
        return SessionState.DETACHED
    if not known:
        return SessionState.WAITING
    if settled:
        return SessionState.IN_FORCE
    others = [channel for type_url, channel in channels.items() if type_url is not TypeUrl.CLUSTER]
    clusters = channels[TypeUrl.CLUSTER]
    if clusters.flights and not any(channel.flights for channel in others):
        return SessionState.WARMING
    return SessionState.SYNCING


def _count(ledger: Ledger, channel: Channel | None, tally: Tally) -> TypeView:
    return TypeView(
        desired=len(ledger.desired),
        held=len(channel.view) if channel else 0,
        pending=len(channel.pending) if channel else 0,
        in_flight=len(channel.flights) if channel else 0,
        acks=tally.acks,
        nacks=tally.nacks,
        resources_sent=tally.resources_sent,
    )
