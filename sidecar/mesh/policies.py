"""Traffic policy of one destination: rules merged, then top, port and subset level combined.

The combination is Istio's (pilot/pkg/networking/util MergeTrafficPolicy, model/destination_rule.go): whole
fields replace each other and nothing merges inside a field; an entry for the port hides all that stands
beside it, its own gaps included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sidecar.balancing.model import Policy
from sidecar.mesh.facts import DestinationRuleFacts
from sidecar.mesh.model import FROM_DEFAULTS, Provenance
from sidecar.mesh.source import ObjectInForce
from store.objects.base import ObjectRef
from store.objects.destination_rule import DestinationRule, Subset, TrafficPolicy

__all__ = ["NO_RULE", "MergedRule", "combined_policy", "merge_rules"]


@dataclass(frozen=True, slots=True)
class MergedRule:
    """The rules in force together for one destination."""

    policy: TrafficPolicy | None = None
    """Top-level policy of the first rule that has one."""
    policy_source: Provenance = FROM_DEFAULTS
    """Where that policy stands."""
    subsets: Mapping[str, tuple[Subset, Provenance]] = field(default_factory=dict)
    """Subsets of all rules by name; the first of a name counts."""
    sources: tuple[Provenance, ...] = ()
    """The rules, the leading one first."""


NO_RULE = MergedRule()
"""What is in force where no rule speaks for a destination."""


def merge_rules(
    rules: Sequence[DestinationRuleFacts], objects: Mapping[ObjectRef, ObjectInForce]
) -> MergedRule:
    """Merge rules of one host, the leading one first (see `destination_rules.merge_groups`)."""
    policy: TrafficPolicy | None = None
    policy_source = NO_RULE.policy_source
    subsets: dict[str, tuple[Subset, Provenance]] = {}
    sources = []
    for facts in rules:
        model = objects[facts.ref].model
        assert isinstance(model, DestinationRule), f"{facts.ref} is a {type(model).__name__}"
        sources.append(Provenance(facts.ref, facts.generation))
        if policy is None and model.spec.traffic_policy is not None:
            policy = model.spec.traffic_policy
            policy_source = Provenance(facts.ref, facts.generation, "spec.trafficPolicy")
        for position, subset in enumerate(model.spec.subsets):
            place = Provenance(facts.ref, facts.generation, f"spec.subsets[{position}]")
            subsets.setdefault(subset.name, (subset, place))
    return MergedRule(policy, policy_source, subsets, tuple(sources))


def combined_policy(rule: MergedRule, port: int, subset: str = "") -> Policy:
    """The policy for `port` of a destination, or of its `subset`; one that is not defined adds nothing."""
    base = _at_port(rule.policy, port, rule.policy_source)
    found = rule.subsets.get(subset) if subset else None
    if found is None or found[0].traffic_policy is None:
        return Policy() if base is None else base[0]
    definition, place = found
    own = _at_port(
        definition.traffic_policy, port, place._replace(path=f"{place.path}.trafficPolicy")
    )
    assert own is not None
    specific, is_port_level = own
    if base is None:
        return specific
    general = base[0]
    return replace(
        general,
        load_balancer=specific.load_balancer
        if is_port_level
        else specific.load_balancer or general.load_balancer,
        connection_pool=specific.connection_pool
        if is_port_level
        else specific.connection_pool or general.connection_pool,
        outlier_detection=specific.outlier_detection
        if is_port_level
        else specific.outlier_detection or general.outlier_detection,
        tls=specific.tls if is_port_level else specific.tls or general.tls,
        tunnel=specific.tunnel or general.tunnel,
        proxy_protocol=specific.proxy_protocol or general.proxy_protocol,
        retry_budget=specific.retry_budget or general.retry_budget,
        source=specific.source,
    )


def _at_port(
    policy: TrafficPolicy | None, port: int, source: Provenance
) -> tuple[Policy, bool] | None:
    """What `policy` says for `port`, and whether an entry for just that port says it."""
    if policy is None:
        return None
    for position, entry in enumerate(policy.port_level_settings):
        if entry.port is not None and entry.port.number == port:
            return Policy(
                load_balancer=entry.load_balancer,
                connection_pool=entry.connection_pool,
                outlier_detection=entry.outlier_detection,
                tls=entry.tls,
                source=source._replace(path=f"{source.path}.portLevelSettings[{position}]"),
            ), True
    return Policy(
        load_balancer=policy.load_balancer,
        connection_pool=policy.connection_pool,
        outlier_detection=policy.outlier_detection,
        tls=policy.tls,
        tunnel=policy.tunnel,
        proxy_protocol=policy.proxy_protocol,
        retry_budget=policy.retry_budget,
        source=source,
    ), False
