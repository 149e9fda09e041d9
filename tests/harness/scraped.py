"""Istio's metrics as a sidecar's `/metrics` has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.harness.processes import wait_until
from tests.harness.sidecars import SidecarProcess

__all__ = ["COUNTED_S", "Series", "counted", "scrape", "value"]

COUNTED_S = 20.0
"""Envoy counts a request just after its answer; histograms are gathered every five seconds."""
_LINE = re.compile(r"(istio_\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Series:
    """One line."""

    name: str
    labels: Mapping[str, str]
    value: float

    def has(self, **labels: str) -> bool:
        """Whether it has these labels."""
        return labels.items() <= self.labels.items()


def scrape(sidecar: SidecarProcess) -> list[Series]:
    """Istio's metrics on a host."""
    code, text = sidecar.page("/metrics")
    assert code == 200, text
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return [Series(m[1], dict(_LABEL.findall(m[2])), float(m[3])) for m in found if m]


def value(sidecar: SidecarProcess, name: str, **labels: str) -> float:
    """Sum of the series with these labels."""
    return sum(one.value for one in scrape(sidecar) if one.name == name and one.has(**labels))


def counted(sidecar: SidecarProcess, name: str, wanted: float, **labels: str) -> None:
    """Wait until the sum is so."""
    try:
        wait_until(lambda: value(sidecar, name, **labels) == wanted, COUNTED_S, f"{name} {labels}")
    except AssertionError as problem:
        have = [one for one in scrape(sidecar) if one.name == name]
        raise AssertionError(f"{problem}: wanted {wanted} on {sidecar.node}, have {have}") from None
