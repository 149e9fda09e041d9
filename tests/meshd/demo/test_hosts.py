"""The settings files of the demo's hosts are what the sidecar reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from meshd.demo.hosts import EDGE, HOSTS, Host, Place, settings_text
from sidecar.agent.settings import SidecarSettings


def settings_of(host: Host, directory: Path) -> SidecarSettings:
    ports = {app.name: 9080 + index for index, app in enumerate(host.apps)}
    inbound = {app.name: 15006 + index for index, app in enumerate(host.apps)}
    place = Place(host, "127.0.10.1", 15001, ports, inbound, gossip_port=17946)
    text = settings_text(place, "http://127.0.10.100:2379", directory)
    return SidecarSettings.model_validate(tomllib.loads(text))


@pytest.mark.parametrize("host", [*HOSTS, EDGE], ids=lambda host: host.name)
def test_every_setting_is_known_to_the_sidecar(host: Host, tmp_path: Path) -> None:
    settings = settings_of(host, tmp_path / 'a "quoted" folder')
    assert settings.node == host.name
    assert settings.run_dir == tmp_path / 'a "quoted" folder' / "run"
    assert settings.on_stop == "leave"
    assert (settings.gossip.enabled, settings.gossip.port) == ("on", 17946)
    assert [(one.service, one.namespace) for one in settings.workloads] == [
        (app.service, app.namespace) for app in host.apps
    ]
    assert [one.ports[0].inbound_port for one in settings.workloads] == [
        15006 + index for index in range(len(host.apps))
    ]


def test_only_the_host_at_the_edge_is_a_gateway(tmp_path: Path) -> None:
    assert {host.name: settings_of(host, tmp_path).role for host in (*HOSTS, EDGE)} == {
        "vm-1": "sidecar",
        "vm-2": "sidecar",
        "vm-3": "sidecar",
        "edge": "gateway",
    }
    assert settings_of(EDGE, tmp_path).labels == {"app": "ingress"}
