"""Relay: configuration from peers, for a host that etcd is out of reach of. Pure. `events` is to be read first."""

from __future__ import annotations

from sidecar.relay.events import StoreLink
from sidecar.relay.relay import Relay
from sidecar.relay.settings import RelaySettings
from sidecar.relay.view import RelayView
from sidecar.relay.watchers import watchers

__all__ = ["Relay", "RelaySettings", "RelayView", "StoreLink", "watchers"]
