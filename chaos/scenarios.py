"""Which faults happen: each one alone, and mixtures drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping

from chaos.faults import Plan
from chaos.faults_connections import CONNECTION_PLANS
from chaos.faults_etcd import ETCD_PLANS
from chaos.faults_hosts import HOST_PLANS
from chaos.faults_network import NETWORK_PLANS
from chaos.faults_processes import PROCESS_PLANS
from chaos.running import Scenario

__all__ = ["CI", "PLANS", "alone", "mixture", "named"]

PLANS: Mapping[str, Plan] = {
    **NETWORK_PLANS,
    **CONNECTION_PLANS,
    **ETCD_PLANS,
    **PROCESS_PLANS,
    **HOST_PLANS,
}
"""All faults, by name."""
CI = ("isolate-etcd", "etcd-all-killed", "sidecar-killed", "backend-5xx", "split-two")
"""A subset for a machine with little time: one of each sort, some minutes."""


def named(name: str) -> Scenario:
    """A fault by itself, or `mixture-N`.

    Raises:
        KeyError: There is no such fault.
    """
    kind, _, number = name.partition("-")
    return mixture(int(number)) if kind == "mixture" and number.isdecimal() else alone(name)


def alone(name: str) -> Scenario:
    """One fault, by itself."""
    plan = PLANS[name]
    return Scenario(name, plan.title, ((plan,),))


def mixture(seed: int, steps: int = 3) -> Scenario:
    """Two or three faults at a time, several times."""
    rng = random.Random(seed)
    plans = [plan for plan in PLANS.values() if not plan.is_lone]
    chosen = [rng.sample(plans, rng.randint(2, 3)) for _ in range(steps)]
    title = "; then ".join(" and ".join(plan.name for plan in step) for step in chosen)
    return Scenario(f"mixture-{seed}", title, chosen)
