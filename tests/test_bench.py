"""Each bench runs and says what its keys promise; how fast it is, is for people to judge."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.__main__ import BENCHES, main
from bench.eject import Run, ideal_failures
from bench.report import Report, milliseconds, quantile


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert isinstance(values, dict)
    return values


def test_without_a_name_every_bench_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BENCHES)


def test_quantiles_are_values_that_were_measured() -> None:
    samples = [number / 1000 for number in range(1, 101)]
    assert quantile(samples, 0.5) == 0.050
    assert quantile(samples, 0.99) == 0.099
    assert quantile([7.0], 0.99) == 7.0
    assert milliseconds(samples) == {"p50": 50.0, "p99": 99.0}


def test_a_table_lines_up_and_shows_what_was_not_measured() -> None:
    table = Report({}, ("what", "ms"), [("a", 1.234), ("longer", None)], ("why",)).table()
    assert table.splitlines()[:4] == ["what      ms", "a       1.23", "longer     -", "note: why"]


@pytest.mark.real
@pytest.mark.slow
def test_propagate_measures_one_sidecar_and_the_last_of_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["--services", "5", "--changes", "3", "--hosts", "2", "--host-changes", "2"]
    values = found(capsys, "propagate", *sizes, "--traefik-changes", "0")
    assert set(values) == {"meshd", "traefik_default", "traefik_unthrottled", "meshd_last_of_12"}
    assert values["traefik_default"] is None
    for key in ("meshd", "meshd_last_of_12"):
        taken = values[key]
        assert isinstance(taken, dict)
        assert set(taken["put_to_served_ms"]) == {"p50", "p99"}
        assert 0 < taken["put_to_served_ms"]["p50"] <= taken["put_to_served_ms"]["p99"]


@pytest.mark.real
@pytest.mark.slow
def test_startup_measures_a_start_with_and_without_etcd(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = found(capsys, "startup", "--services", "5", "--times", "1")
    taken = values["5"]
    assert isinstance(taken, dict)
    assert set(taken) == {"from_etcd_s", "last_known_good_s", "memory_mib"}
    assert all(value > 0 for value in taken.values())


@pytest.mark.slow
def test_cli_measures_the_programs_beside_a_bare_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = found(capsys, "cli", "--times", "1")
    assert {"python_ms", "meshd_help_ms"} <= set(values)


@pytest.mark.real
@pytest.mark.slow
def test_mirror_measures_each_step_of_a_load(capsys: pytest.CaptureFixture[str]) -> None:
    values = found(capsys, "mirror", "--objects", "30")
    assert values["objects"] == 31
    assert {"list_ms", "snapshot_ms", "catalog_ms", "mesh_ms", "change_ms"} <= set(values)


@pytest.mark.slow
def test_gossip_scale_measures_a_mesh_at_three_losses(capsys: pytest.CaptureFixture[str]) -> None:
    values = found(capsys, "gossip-scale", "--members", "12", "--minutes", "0.2")
    mesh = values["12"]
    assert isinstance(mesh, dict)
    assert set(mesh) == {"members", "loss", "all_join_s"}
    assert set(mesh["loss"]) == {"0%", "10%", "30%"}
    for one in mesh["loss"].values():
        assert one["false_deaths_per_hour"] == 0.0 < one["false_deaths_per_hour_max"]
        assert 0 < one["detection"]["dead_at_all_s"]["p50"] <= 20.0
        assert 0 < one["idle"]["bytes_per_s"] <= one["idle"]["bytes_per_s_worst"]
        assert one["join_s"] is not None
    assert mesh["all_join_s"] < 5.0


@pytest.mark.real
@pytest.mark.slow
def test_gossip_measures_members_beside_serf_where_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["--members", "4", "--kills", "1", "--joins", "1", "--idle", "3", "--simulate"]
    values = found(capsys, "gossip", *sizes)
    assert set(values) == {"meshd", "serf", "simulated"}
    assert values["simulated"] == {}
    ours = values["meshd"]
    assert isinstance(ours, dict)
    assert 0 < ours["dead_at_all_s"]["p50"] <= ours["dead_at_all_s"]["worst"]
    assert {"idle_bytes_per_s", "idle_cpu_percent", "join_s", "rss_mb"} <= set(ours)
    assert ours["idle_bytes_per_s"] > 0
    if (theirs := values["serf"]) is not None:
        assert isinstance(theirs, dict)
        assert set(theirs) == set(ours)


@pytest.mark.real
@pytest.mark.slow
def test_evidence_measures_both_sources_idle_and_busy(capsys: pytest.CaptureFixture[str]) -> None:
    values = found(capsys, "evidence", "--clusters", "10", "--every", "0.5", "--seconds", "1")
    costs = values["10"]
    assert isinstance(costs, dict)
    assert set(costs) == {
        f"{source} 0.5 s {load}" for source in ("reports", "admin") for load in ("idle", "busy")
    }
    assert all({"envoy_percent", "sidecar_percent"} <= set(cost) for cost in costs.values())


@pytest.mark.real
@pytest.mark.slow
def test_eject_counts_failures_with_and_without_gossip(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--sidecars", "3", "--rates", "1", "--faults", "5xx"]
    values = found(capsys, "eject", *few)
    assert values["sidecars"] == 3
    faults = values["faults"]
    assert isinstance(faults, dict)
    case = faults["5xx"]["1"]
    assert case["failures_alone"] >= 5 * 3
    assert case["failures"] > 0
    assert case["false_ejections"] == 0
    assert {"last_avoids_s", "last_avoids_alone_s", "failures_ideal"} <= set(case)


def test_the_ideal_observer_needs_two_failures_at_enough_sidecars() -> None:
    failures = [(0, 0.1), (0, 0.2), (1, 0.3), (2, 0.4), (1, 0.5), (2, 0.6), (3, 0.7), (3, 0.8)]
    alone = Run(failures, avoided_s=1.0, false_ejections=0, sent=100)
    assert ideal_failures(alone, sidecars=4) == 5
    assert ideal_failures(alone, sidecars=12) == 6
    assert ideal_failures(Run(failures[:2], 1.0, 0, 10), sidecars=12) == 2


@pytest.mark.real
@pytest.mark.slow
def test_scale_measures_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--services", "8", "120", "--starts", "1", "--changes", "4", "--idle", "0.2"]
    values = found(capsys, "scale", *sizes)
    services = values["services"]
    assert isinstance(services, dict)
    assert set(services) == {"8", "120"}
    for one in services.values():
        assert {
            "first_request_s",
            "envoy_rss_mb",
            "sidecar_rss_mb",
            "change_cpu_ms",
            "endpoint_change_cpu_ms",
            "change_bytes",
            "cold_request_ms",
        } <= set(one)
        assert one["first_request_s"] > 0
        assert one["change_bytes"] > 100
        assert set(one["cold_request_ms"]) == {"p50", "p99"}
    assert services["8"]["unused_change_cpu_ms"] is None


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load (nghttp2-client)")
def test_proxy_measures_both_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    values = found(capsys, "proxy", "--rounds", "1", "--seconds", "0.2")
    pairs = values.pop("two_sidecars")
    assert set(values) == {"http1", "http2"}
    assert isinstance(pairs, dict)
    for one in (*values.values(), *pairs.values()):
        assert isinstance(one, dict)
        assert one["meshd_rps"] > 0
        assert one["ratio_to_bare_envoy"] > 0
        assert one["p99_ratio_to_bare_envoy"] > 0
    for one in values.values():
        assert isinstance(one, dict)
        assert {"bare_envoy_rps", "nginx_rps", "traefik_rps"} <= set(one)
