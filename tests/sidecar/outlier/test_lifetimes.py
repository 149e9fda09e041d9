"""Bounds that two rooms of the house share."""

from __future__ import annotations

from sidecar.gossip import LAN
from store.objects.mesh_config import EVIDENCE_LIFETIME_S_MAX


def test_evidence_may_live_as_long_as_gossip_keeps_it() -> None:
    assert LAN.evidence_ttl_s == EVIDENCE_LIFETIME_S_MAX
