"""The samples that people copy from: each is valid, and what is said to be broken is broken as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.demo.steps import BROKEN, STEPS
from sidecar.outlier.model import EjectionPolicy
from sidecar.outlier.policies import ejection_policy, takes_part
from store.diagnostics import Level
from store.manifest import read_paths
from store.objects import parse_object
from store.objects.base import MeshObject
from store.objects.destination_rule import DestinationRule
from store.objects.mesh_config import MeshConfig
from store.validation import check_document

SAMPLES = Path(__file__).parents[1] / "deploy" / "samples"
SHOWN = sorted((SAMPLES / "bookinfo").glob("*.yaml"))
GOOD = [
    *SHOWN,
    *sorted((SAMPLES / "ejection").glob("*.yaml")),
    *sorted((SAMPLES / "mutual-tls").glob("*.yaml")),
]


def problems(file: Path) -> list[tuple[Level, str, str]]:
    manifest = read_paths([str(file)])
    found = list(manifest.diagnostics)
    for document in manifest.documents:
        found += check_document(document)
    return [(problem.level, problem.code, problem.path) for problem in found]


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.name)
def test_a_sample_has_no_problem_not_even_a_warning(file: Path) -> None:
    assert problems(file) == []


def test_the_broken_sample_has_the_one_fault_that_it_is_for() -> None:
    assert problems(SAMPLES / BROKEN) == [(Level.ERROR, "MESH0102", "spec.http[0].route[0].wieght")]


def test_the_rule_goes_before_the_settings_of_the_mesh_and_leaves_the_rest_to_them() -> None:
    settings = sample("ejection/mesh-config.yaml")
    rule = sample("ejection/destination-rule.yaml")
    assert isinstance(settings, MeshConfig)
    assert isinstance(rule, DestinationRule)
    assert rule.spec.traffic_policy is not None
    outliers = rule.spec.traffic_policy.outlier_detection
    assert takes_part(settings.spec.ejection, outliers)
    assert not takes_part(settings.spec.ejection, None)
    assert ejection_policy(settings.spec.ejection, outliers) == EjectionPolicy(
        quorum=None,
        failures=3,
        agreement=0.66,
        hold_off_s=2.0,
        base_ejection_s=30.0,
        max_ejection_s=600.0,
        max_ejection_share=0.5,
        min_health_share=0.4,
    )


def sample(name: str) -> MeshObject:
    """The one object of a sample."""
    [document] = read_paths([str(SAMPLES / name)]).documents
    return parse_object(document.value)


def test_the_demo_shows_every_sample_of_the_bookinfo() -> None:
    shown = {SAMPLES / file for step in STEPS for file in step.files}
    assert set(SHOWN) <= shown
    assert all(file.is_file() for file in shown)
