"""The table that explains against the Envoy that serves: random meshes, random requests, the same answers.

Each mesh is brought to one Envoy, a sidecar and a gateway at once, by the builder and the session that the daemon
uses. Then requests go through it to real applications, and what they and the client saw is held against the routing
table's decision: destination, path, authority, header fields, answers, redirects, repetitions and copies.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

from store.diagnostics import Level
from store.validation import check_object
from tests.harness.catalogs import Document
from tests.harness.differential.applications import SAYS
from tests.harness.differential.comparing import differences, has_its_copies
from tests.harness.differential.expected import Expected, Gone, expected
from tests.harness.differential.stand import Outcome, Stand, Standing, stand
from tests.sidecar.routing.samples import Ask, Sample, samples
from tests.sidecar.routing.strategies import ENTRY_SLOTS

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(3600)]

DEEP = bool(os.environ.get("MESHD_TEST_DEEP"))
MESHES = {"whole": 440 if DEEP else 32, "on demand": 80 if DEEP else 8}
AVAILABLE_PROVIDERS["evenly"] = HypothesisProvider
"""Hypothesis's own draws under another name: as a backend of others' it makes every example anew. Left to itself it
begins with small ones and varies each several times, which for meshes means the same few fields again and again."""
REQUESTS = 42
"""Requests for each mesh."""
SEED = int(os.environ.get("MESHD_DIFFERENTIAL_SEED") or (random.randrange(1 << 32) if DEEP else 1))
"""What meshes and requests are drawn from; the deep form draws others each time."""


@dataclass
class Tally:
    """What was compared, for people."""

    meshes: int = 0
    requests: int = 0
    refused: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)

    def note(self, ask: Ask, told: Expected) -> None:
        """Count one request."""
        self.requests += 1
        self.ways[_kind(told)] += 1
        self.features.update(_features(ask, told))

    def __str__(self) -> str:
        return (
            f"{self.meshes} meshes and {self.requests} requests compared: {_listed(self.ways)}; "
            f"of those sent on {_listed(self.features)}; "
            f"{self.refused} objects left out, as validation refuses them; seed {SEED}"
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _features(ask: Ask, told: Expected) -> Iterator[str]:
    """What is done to a request that goes on."""
    way = next((one for one in told.ways if isinstance(one, Gone)), None)
    if way is None:
        return
    asked = ask.request
    is_so = {
        "copied": bool(told.copies),
        "repeated": way.attempts > 1,
        "with another path": way.path != asked.path,
        "with another authority": not way.authority.startswith(asked.authority.split(":")[0]),
        "with edited fields": dict(way.fields) != {n.lower(): v for n, v in asked.headers},
        "with a time limit": way.timeout_ms is not None,
        "with an edited answer": len(way.answer) != len(SAYS),
    }
    yield from (name for name, holds in is_so.items() if holds)


@pytest.fixture(scope="module", params=sorted(MESHES, reverse=True))
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Stand, Tally]]:
    budget = 500 if request.param == "whole" else 0
    directory: Path = tmp_path_factory.mktemp("stand")
    with stand(directory, budget_services=budget) as made:
        yield request.param, made, Tally()


def test_envoy_does_what_the_table_says(
    standing: tuple[str, Stand, Tally], capsys: pytest.CaptureFixture[str]
) -> None:
    how, made, tally = standing

    @seed(SEED)
    @settings(
        max_examples=MESHES[how],
        backend="evenly",
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(samples(REQUESTS))
    def compare(sample: Sample) -> None:
        _compare(made, sample, tally)

    compare()
    with capsys.disabled():
        print(f"\n{how}: {tally}")
    assert tally.requests >= MESHES[how] * REQUESTS


def _compare(made: Stand, sample: Sample, tally: Tally) -> None:
    """Publish a mesh, send its requests, and fail with all that is needed to see why."""
    documents = [one for one in sample.documents if _is_valid(one)]
    standing = made.call(made.publish, documents, (sample.sender, sample.edge))
    told = [_expected(made, standing, ask) for ask in sample.asks]
    outcomes = made.call(made.ask, sample.asks)
    _await_copies(made, told, outcomes)
    found = []
    for ask, wanted, outcome in zip(sample.asks, told, outcomes, strict=True):
        seen = tuple(made.applications.seen.get(outcome.id, ()))
        outcome = replace(outcome, seen=seen)
        if wrong := differences(wanted, outcome):
            found.append(_told(ask, wanted, outcome, wrong))
        tally.note(ask, wanted)
    tally.meshes += 1
    tally.refused += len(sample.documents) - len(documents)
    assert not found, _report(made, sample, documents, found)


def _is_valid(document: Document) -> bool:
    problems = check_object(document)[1]
    return not any(one.level is Level.ERROR for one in problems)


def _expected(made: Stand, standing: Standing, ask: Ask) -> Expected:
    request = replace(ask.request, authority=made.bound_text(ask.request.authority))
    open_ports = frozenset(made.applications.ports)
    return expected(standing.views, ask, request, made.real[ENTRY_SLOTS[ask.entry]], open_ports)


def _await_copies(made: Stand, told: list[Expected], outcomes: list[Outcome]) -> None:
    def all_there() -> bool:
        return all(
            has_its_copies(wanted, outcome, made.applications.seen.get(outcome.id, ()))
            for wanted, outcome in zip(told, outcomes, strict=True)
        )

    made.call(made.copies_arrived, all_there)


def _kind(told: Expected) -> str:
    if len(told.ways) > 1:
        return "with several ways"
    way = told.ways[0]
    if isinstance(way, Gone):
        return "forwarded"
    return way.why or f"answered {way.status}"


def _told(ask: Ask, wanted: Expected, outcome: Outcome, wrong: list[str]) -> str:
    answer = outcome.answer
    lines = [f"{ask}", f"  by {wanted.route}"]
    lines += [f"  {one}" for one in wrong]
    lines += [f"  table: {way}" for way in wanted.ways]
    lines += [f"  table: {copy}" for copy in wanted.copies]
    lines.append(f"  Envoy: {answer}")
    lines += [f"  Envoy: {seen}" for seen in outcome.seen]
    return "\n".join(lines)


def _report(made: Stand, sample: Sample, documents: list[Document], found: list[str]) -> str:
    objects = "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in documents)
    again = f"MESHD_DIFFERENTIAL_SEED={SEED} pytest tests/e2e/test_routing_differential.py"
    deep = "MESHD_TEST_DEEP=1 " if DEEP else ""
    return (
        f"{len(found)} differences\n{objects}\nsender {sample.sender}\nedge {sample.edge}\n"
        + "\n\n".join(found[:5])
        + f"\n\nports: {made.real}\nrepeat with: {deep}{again}"
    )
