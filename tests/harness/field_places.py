"""Cases for policies of destinations, one at each place where they may stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from tests.harness.field_cases import Case, Holds

__all__ = ["POLICY_PLACES", "policy_cases"]

POLICY_PLACES = (
    "spec.trafficPolicy",
    "spec.trafficPolicy.portLevelSettings[]",
    "spec.subsets[].trafficPolicy",
    "spec.subsets[].trafficPolicy.portLevelSettings[]",
)
"""Where a policy of a DestinationRule may stand, the widest first."""

PROXY = "outbound|9080|%s|a.default.svc.cluster.local"


def policy_cases(
    name: str,
    proves: str,
    policy: str,
    *,
    accepted: Sequence[Holds] = (),
    ports: bool = True,
    **more: Any,
) -> tuple[Case, ...]:
    """One case for each place of a policy of service `a`; `$cluster` stands for the cluster that it is for.

    Args:
        name: The rule, in words.
        proves: Fields below the policy, separated by spaces.
        policy: The policy in YAML (flow style or indented by nothing).
        accepted: What Envoy holds; names may be `$cluster`.
        ports: Whether it may stand at a port as well.
        more: More of the case.
    """
    cases = []
    for place in POLICY_PLACES:
        if "portLevel" in place and not ports:
            continue
        subset = "subsets" in place
        cluster = PROXY % ("v1" if subset else "")
        named = tuple(replace(h, name=h.name.replace("$cluster", cluster)) for h in accepted)
        paths = " ".join(f"DestinationRule.{place}.{path}" for path in proves.split())
        cases.append(
            Case(
                f"{name}, at {place.removeprefix('spec.')}",
                paths,
                yaml.safe_dump_all(_policy_documents(place, yaml.safe_load(policy), subset)),
                accepted=named,
                **more,
            )
        )
    return tuple(cases)


def _policy_documents(place: str, policy: object, subset: bool) -> list[object]:
    held: object = policy
    if "portLevel" in place:
        assert isinstance(policy, dict)
        held = {"portLevelSettings": [{"port": {"number": 9080}, **policy}]}
    spec: dict[str, object] = {"host": "a"}
    if subset:
        spec["subsets"] = [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": held}]
    else:
        spec["trafficPolicy"] = held
    destination = {"host": "a", **({"subset": "v1"} if subset else {}), "port": {"number": 9080}}
    route = {"hosts": ["a"], "http": [{"route": [{"destination": destination}]}]}
    return [{"kind": "DestinationRule", "spec": spec}, {"kind": "VirtualService", "spec": route}]
