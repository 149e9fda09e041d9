"""`--show-config`: a file that means the same, with advice and origin of every setting."""

from __future__ import annotations

import tomllib
from pathlib import Path

from sidecar.agent.settings_layers import from_layers, layers
from sidecar.agent.settings_report import report

FLAGS = {
    "node": "h1",
    "labels": {"version": "v1", "a b": 'quote "'},
    "workloads": [{"service": "reviews", "ports": [{"number": 9080, "app_port": 8080}]}],
    "contexts": [{"name": "gold", "namespace": "gold", "labels": {"tier": "gold"}}],
}


def test_the_report_read_back_is_the_same_settings(tmp_path: Path) -> None:
    stack = layers(None, {"MESHD_ENVOY__CONCURRENCY": "3"}, FLAGS)
    settings = from_layers(stack)
    config = tmp_path / "sidecar.toml"
    config.write_text(report(settings, stack))
    assert from_layers(layers(config, {}, {})) == settings


def test_every_setting_stands_there_with_advice_and_origin() -> None:
    stack = layers(None, {"MESHD_ENVOY__CONCURRENCY": "3"}, FLAGS)
    text = report(from_layers(stack), stack)
    lines = text.splitlines()
    plain = [line for line in lines if line and line[0] not in "#["]
    for line in plain:
        advice = lines[lines.index(line) - 1]
        assert advice.startswith("# "), f"{line} has no advice"
        assert advice.endswith(("(default)", "(flags)", "(environment)")), advice
    assert "(flags)" in lines[lines.index('node = "h1"') - 1]
    assert "(environment)" in lines[lines.index("concurrency = 3") - 1]
    assert set(tomllib.loads(text)) >= {"node", "etcd", "envoy", "registration", "workloads"}
