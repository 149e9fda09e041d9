from __future__ import annotations

import pytest

from sidecar.telemetry.packing import Observer, Packed, Reporter, http_format, tcp_format, unpack

SOURCE = Observer(Reporter.SOURCE, "web")
DESTINATION = Observer(Reporter.DESTINATION, "15006")


@pytest.mark.parametrize("made", [http_format, tcp_format])
@pytest.mark.parametrize("observer", [SOURCE, DESTINATION])
def test_a_format_has_every_field_in_its_place(made: object, observer: Observer) -> None:
    text = made(observer)  # type: ignore[operator] # one of two functions
    fields = text.split(";")
    assert len(fields) == len(Packed._fields)
    assert fields[:2] == [observer.reporter.value, observer.owner]


def test_only_the_source_knows_a_cluster_and_only_the_destination_hears_of_its_peer() -> None:
    assert "%UPSTREAM_CLUSTER_RAW%" in http_format(SOURCE)
    assert "%UPSTREAM_CLUSTER_RAW%" not in http_format(DESTINATION)
    assert "x-meshd-peer" not in http_format(SOURCE)
    assert "x-meshd-peer" in http_format(DESTINATION)


def test_what_envoy_wrote_is_taken_apart() -> None:
    cluster = "outbound|9080|v1|reviews.default.svc.cluster.local"
    assert unpack(f"source;web;{cluster};200;-;0;spiffe://td/ns/a/sa/b;") == Packed(
        Reporter.SOURCE, "web", cluster, "200", "", "0", "spiffe://td/ns/a/sa/b", ""
    )


def test_a_peers_word_may_hold_separators() -> None:
    packed = unpack("destination;15006;;200;-;;;w;ns;a;v;;")
    assert packed is not None
    assert packed.peer == "w;ns;a;v;;"


@pytest.mark.parametrize("text", ["", "source", "nobody;a;b;c;d;e;f;g", "source;a;b;c;d;e;f"])
def test_other_texts_are_none_of_ours(text: str) -> None:
    assert unpack(text) is None
