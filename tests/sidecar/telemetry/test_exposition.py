from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.exposition import read, render
from sidecar.telemetry.labels import Destination, labels_of
from sidecar.telemetry.packing import unpack
from sidecar.telemetry.party import NOBODY, Party
from sidecar.telemetry.standard import METRICS, TCP_METRICS

TEXT = r"""
# TYPE envoy_istio_requests_total counter
envoy_istio_requests_total{p="source;;a;200;-;;;"} 3
envoy_istio_requests_total{p="source;;b;200;-;;;"} 4
envoy_istio_requests_total{p="destination;1;;200;-;;;\"x\\"} 1
# TYPE envoy_istio_request_bytes histogram
envoy_istio_request_bytes_bucket{p="source;;a;200;-;;;",le="0.5"} 1
envoy_istio_request_bytes_bucket{p="source;;a;200;-;;;",le="1000"} 2
envoy_istio_request_bytes_bucket{p="source;;a;200;-;;;",le="+Inf"} 3
envoy_istio_request_bytes_sum{p="source;;a;200;-;;;"} 12.5
envoy_istio_request_bytes_count{p="source;;a;200;-;;;"} 3
envoy_istio_tcp_sent_bytes_total{p="source;;a;;-;;;"} 7
envoy_istio_something_else{p="source;;a;;-;;;"} 7
envoy_cluster_upstream_rq_total{envoy_cluster_name="x"} 9
"""


def rendered(labels: dict[str, tuple[tuple[str, str], ...]]) -> list[str]:
    reading = read(TEXT)
    return (
        render(reading, labels, dict.fromkeys(reading.tags(TCP_METRICS), (("t", "1"),)))
        .decode()
        .splitlines()
    )


def test_tags_are_read_once_and_unescaped() -> None:
    assert read(TEXT).tags(METRICS) == {
        "source;;a;200;-;;;",
        "source;;b;200;-;;;",
        'destination;1;;200;-;;;"x\\',
    }


def test_equal_series_are_added_up_and_unknown_tags_left_out() -> None:
    same = (("reporter", "source"), ("host", 'a"\\'))
    lines = rendered({"source;;a;200;-;;;": same, "source;;b;200;-;;;": same})
    assert 'istio_requests_total{reporter="source",host="a\\"\\\\"} 7' in lines
    assert sum(line.startswith("istio_requests_total{") for line in lines) == 1


def test_histograms_keep_the_buckets_that_say_something_and_sum_and_count() -> None:
    lines = rendered({"source;;a;200;-;;;": (("x", "y"),)})
    assert [line for line in lines if "request_bytes" in line] == [
        "# HELP istio_request_bytes Bytes of request bodies.",
        "# TYPE istio_request_bytes histogram",
        'istio_request_bytes_bucket{x="y",le="1000"} 2',
        'istio_request_bytes_bucket{x="y",le="+Inf"} 3',
        'istio_request_bytes_sum{x="y"} 12.5',
        'istio_request_bytes_count{x="y"} 3',
    ]


def test_connections_have_labels_of_their_own() -> None:
    assert 'istio_tcp_sent_bytes_total{t="1"} 7' in rendered({})


def test_statistics_that_are_not_ours_are_passed_over() -> None:
    assert not [line for line in rendered({}) if "something" in line or "upstream" in line]


def test_nothing_counted_is_nothing_told() -> None:
    assert render(read(""), {}, {}) == b""


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_whatever_envoy_or_a_peer_says_is_read_and_written_as_one_line(
    text: str, peer: str
) -> None:
    """A peer's word may hold quotes, backslashes and line ends; it stays inside its label."""
    read(text)
    tag = f"destination;1;;200;-;;;{peer}"
    escaped = tag.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    reading = read(f'envoy_istio_requests_total{{p="{escaped}"}} 1\n')
    assert reading.tags(METRICS) == {tag}
    packed = unpack(tag)
    assert packed is not None
    labels = labels_of(packed, Nothing(), tcp=False)
    lines = render(reading, {tag: labels}, {}).decode()
    assert lines.count("\n") == 3
    assert dict(parsed(lines.split("\n")[2])) == dict(labels)


class Nothing:
    """A host that knows nothing."""

    def context(self, name: str) -> Party:
        return NOBODY

    def local(self, port: str) -> Destination:
        return Destination()

    def destination(self, context: str, host: str, subset: str) -> Destination:
        return Destination()


def parsed(line: str) -> list[tuple[str, str]]:
    """The labels of a line, as Prometheus reads them."""
    (family,) = text_string_to_metric_families(f"{line}\n")
    (sample,) = family.samples
    return list(sample.labels.items())
