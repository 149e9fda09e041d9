"""What may be turned in the relay, with what it costs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RelaySettings"]


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Everything that may be turned. Defaults are for up to some thousand hosts of one region."""

    attestations: int = 2
    """Hosts with a view of etcd of their own that must attest a hash before it is applied. 1: one stolen host can
    configure every host that etcd is out of reach of. 0: any peer can; for tests."""
    start_jitter_s: float = 0.5
    """A pull begins anywhere within this time after the need is seen, so that no herd forms."""
    answer_timeout_s: float = 3.0
    """For one request and its answer; then another peer is asked."""
    slow_s: float = 1.0
    """Two chunks in a row that take longer than this send us to another peer, where there is one."""
    give_up_s: float = 30.0
    """A pull that got no chunk for so long, and has nobody to ask, is dropped with what it has."""
    backoff_min_s: float = 1.0
    """A peer that did not answer is left alone for so long; doubled with each failure."""
    backoff_bad_s: float = 30.0
    """The same for one that sent something wrong."""
    backoff_max_s: float = 600.0
    """Longest time that a peer is left alone."""
    parcel_bytes_max: int = 128 << 20
    """Largest content that is taken from a peer or given to one: some 250,000 modest objects."""
    chunk_bytes: int = 128 << 10
    """Size of the chunks that we send."""
    pulls_served: int = 3
    """Peers that pull from us at once; others are sent elsewhere."""
    place_idle_s: float = 5.0
    """A peer that asks for no further chunk for so long loses its place."""
    bandwidth_bytes_per_s: int = 16 << 20
    """What all pulls from us together may take."""
    history: int = 64
    """Recent snapshots kept, which share what did not change: what peers may ask for and we can vouch for."""
    epoch_patience_s: float = 30.0
    """Only when nobody of our epoch has been at etcd for so long may another epoch be looked at."""
    held_poll_s: float = 300.0
    """An epoch that is held is looked at again this often."""
    vouch_pause_s: float = 1.0
    """Between rounds of asking peers what they can vouch for; doubled up to ten times as long when in vain."""
    watch_share: float = 1.0
    """Share of the hosts of each zone that hold a watch on etcd; the others follow peers. 1: all. Below, a change
    reaches the others later by about a tenth of a second to a second, and etcd carries that many fewer watches."""
    watchers_min: int = 3
    """Hosts of each zone that hold a watch, however small the share. Less than `attestations` + 1 in the whole mesh
    makes the death of one watcher stop the others."""
    hand_over_s: float = 10.0
    """Who is no longer among the chosen holds its watch for so much longer, so that a newcomer has its own first."""
    takeover_s: float = 10.0
    """A chosen host that does not reach etcd for so long is replaced by the next one; it goes on trying."""
