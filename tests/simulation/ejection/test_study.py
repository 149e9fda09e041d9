"""The study runs, and docs/ejection.md shows what it made."""

from __future__ import annotations

import json

import pytest

from bench import ejection_study as study
from bench.__main__ import main
from tests.simulation.ejection.mesh import Arm
from tests.simulation.ejection.scenarios import SCENARIOS


def test_the_tables_of_the_page_are_the_commands_own() -> None:
    claimed, tables = study.between_markers(study.DOCUMENT.read_text("utf-8"))
    assert claimed == study.fingerprint(tables), "renew them: ./dev bench ejection-study --write"


def test_the_page_has_every_scenario_at_every_size() -> None:
    _, tables = study.between_markers(study.DOCUMENT.read_text("utf-8"))
    for name, scenario in SCENARIOS.items():
        if name != "S0":
            for hosts in (10, 30, 100):
                assert f"| {name} {scenario.title} | {hosts} |" in tables


def test_tables_replace_those_between_the_markers_and_nothing_else() -> None:
    page = f"before\n{study.BEGIN}0 -->\n\nold\n\n{study.END}\nafter\n"
    renewed = study.written(page, "| new |")
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert study.between_markers(renewed) == (study.fingerprint("| new |"), "| new |")
    assert study.written(renewed, "| new |") == renewed


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers of the study are not there"):
        study.written("nothing here", "| new |")


def test_the_quick_form_measures_every_scenario_in_every_arm(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ejection-study", "--quick", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    for name in SCENARIOS:
        assert any(title.startswith(f"{name} ") for title in values)
    one = "S1 one endpoint answers 5xx: 10 hosts, 1/s, 10 endpoints"
    failures = {arm: values[f"{one}, {arm.value}"][0]["failures"] for arm in Arm}
    assert failures[Arm.IDEAL] < failures[Arm.SHARED] < failures[Arm.ALONE]


def test_the_same_seed_gives_the_same_figures() -> None:
    cell = study.Cell("S11", hosts=10)
    assert study.measured([cell], lambda _: 1) == study.measured([cell], lambda _: 1)
