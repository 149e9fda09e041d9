"""What is in force for a destination: MeshConfig.ejection, its DestinationRule's outlierDetection over it.

| setting | taken from |
| --- | --- |
| does it take part | `scope: all`, or an outlierDetection in its DestinationRule |
| quorum, failures, agreement, hold-off, locality | MeshConfig alone |
| base ejection time | `outlierDetection.baseEjectionTime`, else MeshConfig |
| longest ejection | MeshConfig, but never shorter than the base ejection time |
| share ejected at most | `outlierDetection.maxEjectionPercent`, else MeshConfig |
| share healthy at least | `outlierDetection.minHealthPercent`, else MeshConfig |

`consecutive5xxErrors`, `consecutiveGatewayErrors`, `consecutiveLocalOriginFailures` and `interval` are thresholds of
one Envoy that sees its own requests alone. They stay its own (Envoy's detector is the floor under shared ejection) and
do not set how many failures make an observer accuse: with a quorum two are enough where one Envoy needs five.
`maxEjectionPercent: 0` keeps a destination from being ejected by shared evidence, save that one endpoint of two or
more may always be (as Envoy's `always_eject_one_host`); to take no part at all, set no outlierDetection under
`scope: declared`, or pause it.
"""

from __future__ import annotations

from sidecar.outlier.model import EjectionPolicy
from store.objects.connection_pool import OutlierDetection
from store.objects.mesh_config import EjectionScope, EjectionSettings

__all__ = ["ejection_policy", "takes_part"]


def takes_part(settings: EjectionSettings, rule: OutlierDetection | None) -> bool:
    """Whether a destination takes part in shared ejection.

    Args:
        settings: `MeshConfig.ejection`.
        rule: outlierDetection of its DestinationRule, port level merged in; None: there is none.
    """
    return rule is not None or settings.scope is EjectionScope.ALL


def ejection_policy(settings: EjectionSettings, rule: OutlierDetection | None) -> EjectionPolicy:
    """The policy of a destination that takes part.

    Args:
        settings: `MeshConfig.ejection`.
        rule: outlierDetection of its DestinationRule, port level merged in; None: there is none.
    """
    base_s = settings.base_ejection_time
    share = settings.max_ejection_percent
    health = settings.min_health_percent
    if rule is not None:
        base_s = base_s if rule.base_ejection_time is None else rule.base_ejection_time
        share = share if rule.max_ejection_percent is None else rule.max_ejection_percent
        health = health if rule.min_health_percent is None else rule.min_health_percent
    return EjectionPolicy(
        quorum=settings.quorum,
        failures=settings.failures,
        agreement=settings.agreement_percent / 100,
        hold_off_s=settings.hold_off,
        base_ejection_s=base_s,
        max_ejection_s=max(base_s, settings.max_ejection_time),
        max_ejection_share=_share(share),
        min_health_share=_share(health),
        same_locality=settings.same_locality,
    )


def _share(percent: int) -> float:
    """Istio does not bound these in a DestinationRule: what is out of range is taken as the nearest bound."""
    return min(100, max(0, percent)) / 100
