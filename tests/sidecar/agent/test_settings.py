"""Settings of the sidecar: which layer wins, what is refused, where a value is said to come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sidecar.agent.settings import IdentitySettings, SidecarSettings
from sidecar.agent.settings_layers import from_layers, layers, origin
from sidecar.agent.settings_report import report
from store.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "sidecar.toml"
    path.write_text(text)
    return path


def test_flags_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    config = write(tmp_path, 'node = "file"\nnamespace = "file"\nlocality = "file"\n')
    environment = {"MESHD_NODE": "env", "MESHD_NAMESPACE": "env"}
    settings = from_layers(layers(config, environment, {"node": "flag"}))
    found = (settings.node, settings.namespace, settings.locality, settings.outbound_port)
    assert found == ("flag", "env", "file", 15001)


def test_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    config = write(tmp_path, 'node = "a"\n[envoy]\nconcurrency = 4\nlog_level = "info"\n')
    settings = from_layers(layers(config, {"MESHD_ENVOY__CONCURRENCY": "2"}, {}))
    assert (settings.envoy.concurrency, settings.envoy.log_level) == (2, "info")


def test_etcd_endpoints_come_from_one_variable() -> None:
    environment = {"MESHD_ETCD": "http://a:2379,http://b:2379", "MESHD_NODE": "n"}
    settings = from_layers(layers(None, environment, {}))
    assert settings.etcd.endpoints == ("http://a:2379", "http://b:2379")


def test_every_wrong_setting_is_named_with_its_origin(tmp_path: Path) -> None:
    config = write(tmp_path, 'node = "a b"\nwieght = 1\n[envoy]\nconcurrency = 0\n')
    with pytest.raises(InputError) as caught:
        from_layers(layers(config, {}, {}))
    message = str(caught.value)
    for part in ("node", "wieght", "envoy.concurrency", str(config)):
        assert part in message


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    config = write(tmp_path, "node = [")
    with pytest.raises(InputError, match="is not TOML"):
        layers(config, {}, {})


def test_a_file_that_is_absent_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        layers(tmp_path / "none.toml", {}, {})


@pytest.mark.parametrize(
    ("contexts", "complaint"),
    [
        ([{"name": "a"}, {"name": "a", "outbound_port": 15002}], "a name each"),
        ([{"name": "a"}, {"outbound_port": 15002}], "a name each"),
        ([{"name": "a"}, {"name": "b"}], "share an outbound address"),
    ],
)
def test_contexts_must_be_told_apart(contexts: list[dict[str, object]], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        from_layers(layers(None, {}, {"node": "n", "contexts": contexts}))


def test_without_contexts_the_settings_are_one(tmp_path: Path) -> None:
    config = write(tmp_path, 'node = "n"\nnamespace = "shop"\nlabels = { app = "cart" }\n')
    (context,) = from_layers(layers(config, {}, {})).effective_contexts()
    assert (context.name, context.namespace, context.labels) == ("", "shop", {"app": "cart"})


def test_the_origin_is_the_strongest_layer_that_speaks(tmp_path: Path) -> None:
    config = write(tmp_path, '[[workloads]]\nservice = "cart"\n')
    stack = layers(config, {"MESHD_NODE": "n"}, {})
    assert origin(stack, ("node",)) == "environment"
    assert origin(stack, ("workloads", 0, "service")) == str(config)
    assert origin(stack, ("locality",)) == "default"


def test_the_report_is_a_file_that_means_the_same(tmp_path: Path) -> None:
    text = (
        'node = "n"\nlabels = { app = "cart" }\nrun_dir = "/tmp/r"\ndata_dir = "/tmp/d"\n'
        '[[workloads]]\nservice = "cart"\nports = [{ number = 80, app_port = 8080 }]\n'
    )
    stack = layers(write(tmp_path, text), {}, {})
    settings = from_layers(stack)
    shown = tmp_path / "shown.toml"
    shown.write_text(report(settings, stack))
    assert from_layers(layers(shown, {}, {})) == settings
    assert "Node id" in shown.read_text(), "the advice is missing"


def test_how_to_reach_etcd_is_said_by_the_same_variables_as_for_meshd(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("pass")
    told = {
        "MESHD_ETCD": "http://a:1,http://b:2",
        "MESHD_ETCD_USER": "host-1",
        "MESHD_ETCD_PASSWORD_FILE": str(tmp_path / "secret"),
        "MESHD_PREFIX": "/other/v1",
        "MESHD_ETCD__REQUEST_TIMEOUT_S": "2.5",
    }
    etcd = from_layers(layers(None, told, {})).etcd
    assert etcd.endpoints == ("http://a:1", "http://b:2")
    assert (etcd.user, etcd.prefix, etcd.request_timeout_s) == ("host-1", "/other/v1", 2.5)


@pytest.mark.parametrize(
    ("workloads", "complaint"),
    [
        ([{"service": "reviews"}, {"service": "reviews"}], 'two workloads are named "reviews-n"'),
        (
            [
                {"service": "a", "ports": [{"number": 1, "inbound_port": 15006}]},
                {"service": "b", "ports": [{"number": 2, "inbound_port": 15006}]},
            ],
            "two ports of workloads have inbound_port 15006",
        ),
    ],
)
def test_workloads_must_be_told_apart(workloads: list[dict[str, object]], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        from_layers(layers(None, {}, {"node": "n", "workloads": workloads}))


def test_workloads_of_one_name_may_live_in_different_namespaces() -> None:
    workloads = [{"service": "a", "namespace": "x"}, {"service": "a", "namespace": "y"}]
    settings = from_layers(layers(None, {}, {"workloads": workloads}))
    assert len(settings.workloads) == 2


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "host-1", "10.0.0.300"])
def test_an_address_that_peers_cannot_connect_to_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="address"):
        from_layers(layers(None, {}, {"address": address}))


@pytest.mark.parametrize(
    ("identity", "complaint"),
    [
        ({"key": "/k"}, "certificate, authorities"),
        ({"certificate": "/c", "key": "/k"}, "needs authorities as well"),
    ],
)
def test_an_identity_has_all_three_files(identity: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SidecarSettings.model_validate({"identity": identity})


def test_files_of_an_identity_lie_in_one_folder_or_where_they_are_named() -> None:
    assert IdentitySettings().files() == ("", "", "")
    folder = IdentitySettings(directory="/etc/certs")
    assert folder.files() == (
        "/etc/certs/cert-chain.pem",
        "/etc/certs/key.pem",
        "/etc/certs/root-cert.pem",
    )
    mixed = IdentitySettings(directory="/etc/certs", authorities="/etc/ssl/mesh.pem")
    assert mixed.files()[1:] == ("/etc/certs/key.pem", "/etc/ssl/mesh.pem")


def test_a_workload_shows_the_identity_of_its_context() -> None:
    contexts = (
        {"name": "a", "namespace": "one", "outbound_port": 1},
        {"name": "b", "namespace": "two", "service_account": "sa", "outbound_port": 2},
    )
    workloads = (
        {"service": "x", "namespace": "two", "service_account": "sa"},
        {"service": "y", "namespace": "three"},
        {"service": "z", "namespace": "three", "context": "a"},
    )
    settings = SidecarSettings.model_validate({"contexts": contexts, "workloads": workloads})
    found = [
        settings.context_of(one, one.namespace, one.service_account) for one in settings.workloads
    ]
    assert [None if one is None else one.name for one in found] == ["b", None, "a"]
    with pytest.raises(ValidationError, match='names the context "c", and there are: a, b'):
        SidecarSettings.model_validate(
            {"contexts": contexts, "workloads": ({"service": "x", "context": "c"},)}
        )
