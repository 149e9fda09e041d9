"""The `[gossip]` table of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.agent.gossip_options import GossipOptions
from sidecar.agent.settings_layers import from_layers, layers
from store.errors import InputError


def test_the_defaults_are_serfs_port_and_probe() -> None:
    options = GossipOptions()
    assert (options.port, options.probe_interval_s, options.enabled) == (7946, 1.0, "auto")


def test_every_setting_has_its_advice() -> None:
    assert all(field.description for field in GossipOptions.model_fields.values())


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"advertise": "0.0.0.0"}, "peers cannot reach 0.0.0.0"),
        ({"bind": "eth0"}, "gossip.bind"),
        ({"seeds": ["host:port"]}, 'the seed "host:port" has no port'),
        ({"probe_timeout_s": 1.0}, "probe_timeout_s must be below"),
        ({"port": 70000}, "gossip.port"),
        ({"enabled": "maybe"}, "gossip.enabled"),
        ({"sedes": []}, "gossip.sedes"),
    ],
)
def test_what_is_wrong_is_named(told: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        from_layers(layers(None, {}, {"gossip": told}))
    assert words in str(caught.value)


def test_the_environment_reaches_it() -> None:
    environment = {
        "MESHD_GOSSIP__PORT": "0",
        "MESHD_GOSSIP__SEEDS": '["10.0.0.1", "dns:peers"]',
    }
    options = from_layers(layers(None, environment, {})).gossip
    assert (options.port, options.seeds) == (0, ("10.0.0.1", "dns:peers"))
