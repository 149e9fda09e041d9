"""Seeds: two in the normal run, twenty with MESHD_TEST_DEEP, one with MESHD_SIM_SEED. A failure says how to replay."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_ONE = os.environ.get("MESHD_SIM_SEED")
_DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        seeds = [int(_ONE)] if _ONE else list(range(1, 21 if _DEEP else 3))
        metafunc.parametrize("seed", seeds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "simulation" in item.path.parts:
            item.add_marker(pytest.mark.slow)
            if _DEEP:  # an hour of virtual time is minutes of ours
                item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def deep() -> bool:
    """Whether there is time for the long form."""
    return _DEEP


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.CallInfo[None], None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's Result is untyped here
    if report.failed and isinstance(item, pytest.Function) and "seed" in item.fixturenames:
        seed = item.callspec.params["seed"]
        name = item.nodeid.split("[")[0]
        deep = "MESHD_TEST_DEEP=1 " if _DEEP else ""
        command = f'{deep}MESHD_SIM_SEED={seed} ./dev run pytest -q "{name}"'
        report.sections.append(("replay", f"seed={seed}: {command}"))
