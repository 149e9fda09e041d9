from __future__ import annotations

from sidecar.outlier.model import EjectionPolicy
from sidecar.outlier.policies import ejection_policy, takes_part
from store.objects.connection_pool import OutlierDetection
from store.objects.mesh_config import EjectionSettings


def test_the_defaults_of_the_mesh_are_those_of_the_policy() -> None:
    assert ejection_policy(EjectionSettings(), None) == EjectionPolicy()
    assert ejection_policy(EjectionSettings(), OutlierDetection()) == EjectionPolicy()


def test_a_destination_takes_part_when_its_rule_or_the_scope_says_so() -> None:
    declared = EjectionSettings()
    everywhere = EjectionSettings.model_validate({"scope": "all"})
    assert takes_part(declared, OutlierDetection())
    assert not takes_part(declared, None)
    assert takes_part(everywhere, None)


def test_settings_of_the_mesh_reach_the_policy() -> None:
    settings = EjectionSettings.model_validate(
        {
            "quorum": 4,
            "failures": 3,
            "agreementPercent": 80,
            "holdOff": "2s",
            "baseEjectionTime": "10s",
            "maxEjectionTime": "60s",
            "maxEjectionPercent": 20,
            "minHealthPercent": 70,
            "sameLocality": True,
        }
    )
    assert ejection_policy(settings, None) == EjectionPolicy(
        quorum=4,
        failures=3,
        agreement=0.8,
        hold_off_s=2.0,
        base_ejection_s=10.0,
        max_ejection_s=60.0,
        max_ejection_share=0.2,
        min_health_share=0.7,
        same_locality=True,
    )


def test_the_rule_of_a_destination_prevails_in_times_and_shares() -> None:
    rule = OutlierDetection.model_validate(
        {"baseEjectionTime": "5m", "maxEjectionPercent": 10, "minHealthPercent": 30}
    )
    found = ejection_policy(EjectionSettings(), rule)
    assert (found.base_ejection_s, found.max_ejection_share, found.min_health_share) == (
        300.0,
        0.1,
        0.3,
    )


def test_the_longest_ejection_is_never_shorter_than_the_first() -> None:
    rule = OutlierDetection.model_validate({"baseEjectionTime": "10m"})
    assert ejection_policy(EjectionSettings(), rule).max_ejection_s == 600.0


def test_thresholds_of_one_envoy_do_not_set_when_an_observer_accuses() -> None:
    rule = OutlierDetection.model_validate(
        {
            "consecutive5xxErrors": 50,
            "consecutiveGatewayErrors": 50,
            "consecutiveLocalOriginFailures": 50,
            "interval": "1h",
        }
    )
    assert ejection_policy(EjectionSettings(), rule) == EjectionPolicy()


def test_shares_out_of_range_are_taken_as_the_nearest_bound() -> None:
    rule = OutlierDetection.model_construct(max_ejection_percent=500, min_health_percent=-3)
    found = ejection_policy(EjectionSettings(), rule)
    assert (found.max_ejection_share, found.min_health_share) == (1.0, 0.0)
