"""Changes of every kind while requests flow: no request fails, nothing is refused, what is put last comes into force.

The short form of `./dev bench churn`, which measures the same for a minute and holds it to 100 ms.
"""

from __future__ import annotations

import pytest

from bench.churn import churn

pytestmark = [pytest.mark.real, pytest.mark.slow]

IN_FORCE_S = 3.0
"""Generous: tests run beside others on busy machines."""
GROWTH_MB = 15.0
"""Memory settles within the first seconds; a leak of a kilobyte for each change would still be seen in a minute."""


def test_no_request_fails_while_everything_changes() -> None:
    found = churn(services=1000, seconds=8.0, changes=100.0, requests=100.0)
    assert found.changes > 200
    assert found.answers.sent > 200
    assert found.answers.failures == []
    assert found.not_in_force == []
    assert found.lags_s[-1] < IN_FORCE_S
    assert found.sidecar_mb[1] - found.sidecar_mb[0] < GROWTH_MB
    assert found.envoy_mb[1] - found.envoy_mb[0] < GROWTH_MB
