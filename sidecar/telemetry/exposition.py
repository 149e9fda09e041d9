"""Envoy's numbers of requests as Prometheus reads them: renamed, with Istio's labels, equal series added up.

Envoy's text has one packed tag a series; what the labels of it are is asked once for each tag. Source: Prometheus,
text exposition format; Envoy, `/stats/prometheus`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.telemetry.labels import Labels
from sidecar.telemetry.standard import METRICS, SCOPE, TCP_METRICS, Metric

__all__ = ["Reading", "read", "render"]

_LINE = re.compile(
    rf'envoy_{SCOPE}_(\w+)\{{p="((?:[^"\\]|\\.)*)"(?:,le="([^"]+)")?\}} ([0-9.eE+-]+)'
)
_ESCAPED = re.compile(r"\\(.)")
_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Reading:
    """What Envoy has counted, by its own tags."""

    series: Mapping[str, Mapping[tuple[str, str, str], float]] = field(default_factory=dict)
    """Metric -> (suffix, packed tag, upper bound of a bucket) -> value."""

    def tags(self, metrics: Iterable[Metric]) -> frozenset[str]:
        """The packed tags of these metrics."""
        return frozenset(tag for one in metrics for _, tag, _ in self.series.get(one.name, ()))


def read(text: str) -> Reading:
    """What Envoy's text says of our metrics; lines of others are passed over."""
    known = {metric.name: metric for metric in (*METRICS, *TCP_METRICS)}
    series: dict[str, dict[tuple[str, str, str], float]] = {}
    for found in _LINE.finditer(text):
        name, tag, bound, value = found.groups()
        suffix = next((one for one in _SUFFIXES if name.endswith(one)), "")
        if name in known:
            suffix = ""
        metric = name.removesuffix(suffix)
        if metric in known:
            plain = _ESCAPED.sub(_unescaped, tag)
            series.setdefault(metric, {})[suffix, plain, bound or ""] = float(value)
    return Reading(series)


def render(
    reading: Reading, labels: Mapping[str, Labels], tcp_labels: Mapping[str, Labels]
) -> bytes:
    """The metrics in Prometheus' text format.

    Args:
        reading: Envoy's numbers.
        labels: Labels of each packed tag of requests; tags without any are left out.
        tcp_labels: The same for connections.
    """
    out = bytearray()
    for metrics, known in ((METRICS, labels), (TCP_METRICS, tcp_labels)):
        # Written out once for each tag: a histogram has twenty lines of it.
        written = {tag: _written(each) for tag, each in known.items()}
        for metric in metrics:
            found = reading.series.get(metric.name)
            if found:
                _render(out, metric, found, written)
    return bytes(out)


def _render(
    out: bytearray,
    metric: Metric,
    found: Mapping[tuple[str, str, str], float],
    written: Mapping[str, str],
) -> None:
    sums: dict[tuple[str, str, str], float] = {}
    for (suffix, tag, bound), value in found.items():
        if tag in written and (not bound or metric.shows(bound)):
            key = (suffix, written[tag], bound)
            sums[key] = sums.get(key, 0.0) + value
    kind = "counter" if metric.measure is None else "histogram"
    out += f"# HELP {metric.full_name} {metric.text}\n# TYPE {metric.full_name} {kind}\n".encode()
    for (suffix, labels, bound), value in sums.items():
        within = f',le="{bound}"' if bound else ""
        out += f"{metric.full_name}{suffix}{{{labels}{within}}} {_number(value)}\n".encode()


def _written(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
