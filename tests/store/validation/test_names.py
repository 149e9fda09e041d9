"""Names: the laws of wildcards, and what the single checks accept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.validation import headers, names, values

labels = st.from_regex(r"\A[a-z]([-a-z0-9]{0,5}[a-z0-9])?\Z")
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
wildcards = st.builds(
    lambda star, host: f"{star}{host}", st.sampled_from(["", "*.", "*"]), hosts
) | st.just("*")


@given(wildcards)
def test_a_host_covers_itself(host: str) -> None:
    assert names.covers(host, host)


@given(wildcards, wildcards, wildcards)
def test_covering_is_transitive(one: str, two: str, three: str) -> None:
    if names.covers(one, two) and names.covers(two, three):
        assert names.covers(one, three)


@given(wildcards, wildcards)
def test_overlap_does_not_depend_on_the_order(one: str, other: str) -> None:
    assert names.overlap(one, other) == names.overlap(other, one)


@given(hosts)
def test_hosts_are_legal_and_lie_within_the_wildcard_of_their_domain(host: str) -> None:
    assert names.host_fault(host) == ""
    assert names.host_fault(host + ".") == ""
    assert names.covers("*", host)
    assert names.covers(f"*.{host}", f"x.{host}")
    assert not names.covers(f"*.{host}", host)


@pytest.mark.parametrize("host", ["*", "*.a", "*a.b", "*-a.b", "A.b", "a", "1.a", "x" * 63, "a.b."])
def test_legal_hosts(host: str) -> None:
    assert names.host_fault(host) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "a.*",
        "*.*",
        "a*.b",
        "-a",
        "a-",
        "a.1",
        "a b",
        "x" * 64,
        "é.b",
        "a." * 128 + "a",
    ],
)
def test_illegal_hosts(host: str) -> None:
    assert names.host_fault(host) != ""


@pytest.mark.parametrize("host", ["*", "*.a", "a.*"])
def test_no_wildcard_where_one_name_is_needed(host: str) -> None:
    assert names.host_fault(host, wildcard=False) != ""


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3/8", True),
        ("fd00::/8", True),
        ("::1", True),
        ("10.0.0.0/33", False),
        ("10.0.0.0/255.0.0.0", False),
        ("10.0.0", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_subnets(text: str, legal: bool) -> None:
    assert (names.subnet_fault(text) == "") is legal


@pytest.mark.parametrize(
    ("path", "legal"), [("/run/a", True), ("@a", True), ("a", False), ("/run/", False), ("", False)]
)
def test_sockets(path: str, legal: bool) -> None:
    assert (names.unix_fault(path) == "") is legal


@pytest.mark.parametrize(
    ("key", "legal"),
    [
        ("app", True),
        ("a.b/c_d", True),
        ("", False),
        ("/a", False),
        ("a_b/c", False),
        ("a/", False),
        ("x" * 64, False),
        ("-a", False),
    ],
)
def test_names_of_labels(key: str, legal: bool) -> None:
    assert (names.label_key_fault(key) == "") is legal


@pytest.mark.parametrize(
    ("seconds", "legal"),
    [
        (None, True),
        (0.001, True),
        (0.0, False),
        (0.0005, False),
        (1.0005, False),
        (1.5, True),
        (0.1 + 0.2, True),
        (86400.123, True),
    ],
)
def test_durations_are_whole_milliseconds(seconds: float | None, legal: bool) -> None:
    assert (values.duration_fault(seconds) == "") is legal


@pytest.mark.parametrize(
    ("share", "legal"),
    [
        (None, True),
        (0.0, True),
        (0.0001, True),
        (100.0, True),
        (0.00001, False),
        (100.1, False),
        (-1.0, False),
        (float("nan"), False),
    ],
)
def test_shares(share: float | None, legal: bool) -> None:
    assert (values.percent_fault(share) == "") is legal


@pytest.mark.parametrize(
    ("expression", "legal"),
    [
        ("a+", True),
        (r"\d{1,3}", True),
        ("^(.*?;)?(user=jason)(;.*)?$", True),
        ("(?=a)", False),
        (r"(a)\1", False),
        ("(", False),
        ("", False),
        ("x" * 1025, False),
        ("\ud800", False),
    ],
)
def test_expressions_are_those_of_re2(expression: str, legal: bool) -> None:
    assert (values.regex_fault(expression) == "") is legal


@pytest.mark.parametrize("protocol", [*values.PROTOCOLS, "http", "grpc-web"])
def test_protocols_in_any_case(protocol: str) -> None:
    assert values.protocol_fault(protocol) == ""


def test_a_protocol_is_understood_or_tls_or_neither() -> None:
    kinds = {
        protocol: (values.is_http(protocol), values.is_tls(protocol))
        for protocol in values.PROTOCOLS
    }
    assert [name for name, kind in kinds.items() if kind == (True, True)] == []
    assert [name for name, kind in kinds.items() if kind[1]] == ["HTTPS", "TLS"]
    assert values.is_http(None) is False


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "%%",
        "100%%",
        "%REQ(x)%",
        "%REQ(X?Y):10%",
        '%UPSTREAM_METADATA(["a", "b)"])%',
        "%START_TIME%",
        "\t",
    ],
)
def test_header_values_that_envoy_can_format(value: str) -> None:
    assert headers.value_fault(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "%",
        "50%",
        "% x",
        "%req(x)%",
        "%REQ(x",
        "%REQ(x)",
        "%REQ(x):",
        "%A%%B",
        "a\nb",
        "\x7f",
        "%%%",
    ],
)
def test_header_values_that_envoy_refuses(value: str) -> None:
    assert headers.value_fault(value) != ""


@given(st.text())
def test_every_check_answers_for_any_text(text: str) -> None:
    for check in (
        names.host_fault,
        names.dns_label_fault,
        names.subnet_fault,
        names.unix_fault,
        names.label_key_fault,
        names.label_value_fault,
        values.regex_fault,
        values.protocol_fault,
        headers.matched_name_fault,
        headers.edited_name_fault,
        headers.removed_name_fault,
        headers.value_fault,
    ):
        assert isinstance(check(text), str)
