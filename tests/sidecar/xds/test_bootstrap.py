"""Envoy's bootstrap: what it must say, and that it says it the same way each time."""

from __future__ import annotations

import json

from google.protobuf import json_format

from sidecar.mesh.model import Locality
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json

SETTINGS = BootstrapSettings(
    "host-1",
    "/run/meshd/host-1/ads.sock",
    "/run/meshd/host-1/admin.sock",
    locality=Locality("r", "z"),
)


def test_equal_settings_give_equal_bytes() -> None:
    assert bootstrap_json(SETTINGS) == bootstrap_json(SETTINGS)


def test_every_field_is_one_that_envoy_knows() -> None:
    from envoy.config.bootstrap.v3 import bootstrap_pb2
    from envoy.extensions.resource_monitors.downstream_connections.v3 import (  # noqa: F401
        downstream_connections_pb2,
    )

    import sidecar.xds.protos  # noqa: F401 - the messages inside `typed_config` must be known

    message = json_format.Parse(bootstrap_json(SETTINGS), bootstrap_pb2.Bootstrap())
    assert message.node.id == "host-1"
    assert message.node.locality.zone == "z"
    assert message.admin.address.pipe.mode == 0o600


def test_ads_is_delta_over_the_socket_with_a_short_back_off_and_pings() -> None:
    document = json.loads(bootstrap_json(SETTINGS))
    ads = document["dynamic_resources"]["ads_config"]
    assert ads["api_type"] == "DELTA_GRPC"
    back_off = ads["grpc_services"][0]["envoy_grpc"]["retry_policy"]["retry_back_off"]
    assert back_off == {"base_interval": "0.1s", "max_interval": "1s"}
    (cluster,) = document["static_resources"]["clusters"]
    options = next(iter(cluster["typed_extension_protocol_options"].values()))
    http2 = options["explicit_http_config"]["http2_protocol_options"]
    assert http2["connection_keepalive"] == {"interval": "10s", "timeout": "10s"}


def test_fetch_timeouts_are_explicit_and_endless() -> None:
    resources = json.loads(bootstrap_json(SETTINGS))["dynamic_resources"]
    assert resources["cds_config"]["initial_fetch_timeout"] == "0s"
    assert resources["lds_config"]["initial_fetch_timeout"] == "0s"


def test_load_reports_come_over_the_socket_of_ads() -> None:
    reports = json.loads(bootstrap_json(SETTINGS))["cluster_manager"]["load_stats_config"]
    (service,) = reports["grpc_services"]
    assert (reports["api_type"], service["envoy_grpc"]["cluster_name"]) == ("GRPC", "meshd_ads")


def test_the_outlier_log_is_only_there_when_asked_for() -> None:
    assert "outlier_detection" not in json.loads(bootstrap_json(SETTINGS))["cluster_manager"]
    logging = BootstrapSettings("n", "/a", "/b", outlier_log="/var/log/outliers")
    manager = json.loads(bootstrap_json(logging))["cluster_manager"]
    assert manager["outlier_detection"] == {"event_log_path": "/var/log/outliers"}
