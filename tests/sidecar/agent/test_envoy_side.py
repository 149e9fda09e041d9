from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.agent.envoy import EnvoyEvent, EnvoyStarted
from sidecar.agent.envoy_side import EnvoySide
from sidecar.agent.outcomes_reports import LoadReported
from sidecar.agent.settings import EnvoySettings, SidecarSettings
from sidecar.xds.events import StreamClosed, StreamOpened
from store.errors import NotFoundError


class Noted:
    """Listens, and answers the first report with something that is told at once."""

    def __init__(self, side: EnvoySide) -> None:
        self.side = side
        self.told: list[object] = []

    def reported(self, report: object) -> None:
        self.told.append(report)
        if report == StreamOpened(1):
            self.side._reported(StreamClosed(1))

    def observed(self, said: object) -> None:
        self.told.append(("observed", said))

    def loads_reported(self, report: LoadReported) -> None:
        self.told.append(report)

    def process_event(self, event: EnvoyEvent) -> None:
        self.told.append(event)


def side(directory: Path, **envoy: object) -> EnvoySide:
    settings = SidecarSettings(
        node="vm-1",
        run_dir=directory / "run",
        data_dir=directory / "data",
        envoy=EnvoySettings.model_validate(envoy),
    )
    return EnvoySide(settings)


async def test_what_was_said_before_anybody_listened_is_told_first_and_in_order(
    tmp_path: Path,
) -> None:
    envoy = side(tmp_path, managed=False)
    listener = Noted(envoy)
    envoy._process_event(EnvoyStarted(7, adopted=False))
    envoy._observed(StreamOpened(1))
    envoy._reported(StreamOpened(1))
    assert listener.told == []
    envoy.listen(listener)
    envoy._reported(StreamOpened(2))
    assert listener.told == [
        EnvoyStarted(7, adopted=False),
        ("observed", StreamOpened(1)),
        StreamOpened(1),
        StreamClosed(1),  # said while the former were told: after them
        StreamOpened(2),
    ]


def test_an_envoy_that_somebody_else_runs_may_run_already(tmp_path: Path) -> None:
    assert side(tmp_path, managed=False).may_run_already()


def test_an_envoy_that_is_not_there_is_an_error_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not an executable"):
        side(tmp_path, path=str(tmp_path / "envoy"))


async def test_abandoning_what_was_never_opened_ends_nothing(tmp_path: Path) -> None:
    await side(tmp_path, managed=False).abandon()
