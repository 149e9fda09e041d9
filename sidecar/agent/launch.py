"""How this host's Envoy is started: what of it follows from the settings alone, with nothing of the mesh known yet."""

from __future__ import annotations

from sidecar.agent.envoy import EnvoyLaunch, find_envoy
from sidecar.agent.settings import SidecarSettings
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json

__all__ = ["envoy_launch"]


def envoy_launch(settings: SidecarSettings) -> EnvoyLaunch:
    """How to start this host's Envoy.

    Raises:
        NotFoundError: There is no Envoy to start.
    """
    run_dir, data_dir = (place / settings.node for place in (settings.run_dir, settings.data_dir))
    bootstrap = BootstrapSettings(
        node_id=settings.node,
        ads_socket=str(run_dir / "ads.sock"),
        admin_socket=str(run_dir / "admin.sock"),
        locality=settings.locality_value,
    )
    return EnvoyLaunch(
        binary=find_envoy(settings.envoy.path),
        run_dir=run_dir,
        log_file=data_dir / "envoy.log",
        bootstrap=bootstrap_json(bootstrap),
        admin_socket=run_dir / "admin.sock",
        concurrency=settings.envoy.concurrency,
        drain_time_s=settings.envoy.drain_time_s,
        log_level=settings.envoy.log_level,
    )
