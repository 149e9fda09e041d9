"""The registry of checks: each takes the mesh as it would be and yields what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from meshd.analysis.checks import (
    destination_rule_merges,
    destination_rules,
    destinations,
    gateway_hosts,
    gateway_servers,
    match_places,
    rule_owners,
    selectors,
    service_entries,
    sidecars,
    tls_inside_tls,
)
from meshd.analysis.world import World
from store.diagnostics import Diagnostic

__all__ = ["CHECKS", "Check"]

Check = Callable[[World], Iterator[Diagnostic]]
"""One check."""

CHECKS: tuple[Check, ...] = (
    destinations.check,
    gateway_hosts.check,
    gateway_servers.check,
    match_places.check,
    rule_owners.check,
    destination_rules.check,
    destination_rule_merges.check,
    tls_inside_tls.check,
    service_entries.check,
    selectors.check,
    sidecars.check,
)
"""Every check."""
