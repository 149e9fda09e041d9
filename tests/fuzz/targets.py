"""What is fuzzed: each target takes any bytes, and must neither raise nor break a rule that it asserts itself.

Two drivers run them: Hypothesis in the normal tests (`test_targets`), and a fuzzer guided by coverage for as long as
one likes (`./dev fuzz`, module `drive`).
"""

from __future__ import annotations

from tests.fuzz import bodies, gossip, relay, stored
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (*gossip.TARGETS, *bodies.TARGETS, *relay.TARGETS, *stored.TARGETS)
}
