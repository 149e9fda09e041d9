"""Gossip: who is in the mesh and alive, by what members tell each other. Pure; `docs/gossip.md` says what is built.

Imports nothing of the sidecar; the shell that owns sockets, clock and nonces is not here.
"""

from sidecar.gossip.claims import Identity, Status
from sidecar.gossip.keyring import Keyring, Purpose
from sidecar.gossip.machine import Gossip
from sidecar.gossip.records import Record, Topic
from sidecar.gossip.settings import LAN, GossipSettings
from sidecar.gossip.signing import Signer
from sidecar.gossip.view import GossipView, MemberView, RecordView

__all__ = [
    "LAN",
    "Gossip",
    "GossipSettings",
    "GossipView",
    "Identity",
    "Keyring",
    "MemberView",
    "Purpose",
    "Record",
    "RecordView",
    "Signer",
    "Status",
    "Topic",
]
