from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.mesh.model import Provenance
from sidecar.xds import protos as pb
from sidecar.xds.compile import alias_only
from sidecar.xds.compile.encoding import (
    canonical,
    duration,
    packed,
    raw_field,
    resource,
    socket_address,
    unique,
)
from sidecar.xds.resource import TypeUrl
from tests.harness.compiled import RULE, SOURCE


@given(st.integers(0, 10**9), st.integers(0, 999_999_999))
def test_a_duration_is_exact_to_the_nanosecond_while_a_float_can_be(s: int, nanos: int) -> None:
    made = duration(s + nanos / 1e9)
    assert abs(made.seconds * 10**9 + made.nanos - (s * 10**9 + nanos)) <= max(1, s // 10**6)
    assert 0 <= made.nanos < 10**9


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.250s"), (90, "90s"), (0, "0s"), (0.0005, "0.000500s")]
)
def test_a_duration_reads_as_written(seconds: float, text: str) -> None:
    assert duration(seconds).ToJsonString() == text


def test_the_version_is_a_hash_of_the_bytes_alone() -> None:
    message = pb.Cluster(name="c")
    one = resource(TypeUrl.CLUSTER, "c", message, sources=[SOURCE])
    same = resource(TypeUrl.CLUSTER, "other name", message, sources=[RULE])
    other = resource(TypeUrl.CLUSTER, "c", pb.Cluster(name="d"), sources=[SOURCE])
    assert one.version == same.version != other.version
    assert pb.Cluster.FromString(one.body) == message


def test_maps_are_written_in_key_order() -> None:
    forwards, backwards = pb.Route(), pb.Route()
    for key in "abcdef":
        forwards.typed_per_filter_config[key].CopyFrom(packed(pb.Router()))
    for key in "fedcba":
        backwards.typed_per_filter_config[key].CopyFrom(packed(pb.Router()))
    assert packed(forwards).value == packed(backwards).value


def test_sources_are_named_once_and_defaults_not_at_all() -> None:
    assert unique([SOURCE, Provenance(None), RULE, SOURCE]) == (SOURCE, RULE)


@pytest.mark.parametrize("path", ["/run/app.sock", "unix:///run/app.sock"])
def test_a_path_is_a_unix_socket(path: str) -> None:
    assert socket_address(path, 0).pipe.path == "/run/app.sock"


def test_a_field_that_our_messages_lack_travels_as_bytes() -> None:
    budget = pb.CircuitBreakers.Thresholds.RetryBudget()
    budget.MergeFromString(raw_field(3, duration(1.5)))
    assert canonical(budget) == b"\x1a\x08" + canonical(duration(1.5))


def test_an_abstract_socket_keeps_its_mark() -> None:
    assert socket_address("@app", 0).pipe.path == "@app"


def test_an_address_has_its_port() -> None:
    made = socket_address("::1", 80).socket_address
    assert (made.address, made.port_value) == ("::1", 80)


def test_an_answer_without_virtual_host_has_no_body_and_the_name_as_alias() -> None:
    made = alias_only("outbound", "nobody:80")
    assert (made.name, made.body, made.aliases) == (
        "outbound/nobody:80",
        b"",
        ("outbound/nobody:80",),
    )
    assert made.version
