"""How this host's Envoy is started: what of it follows from the settings alone, with nothing of the mesh known yet."""

from __future__ import annotations

import os

from sidecar.agent.envoy_program import (
    SHARED_MEMORY,
    SHELL,
    SIBLINGS_FILE,
    EnvoyLaunch,
    find_envoy,
)
from sidecar.agent.log import log
from sidecar.agent.run_files import write_atomically
from sidecar.agent.settings import SidecarSettings
from sidecar.xds.bootstrap import BootstrapSettings, bootstrap_json

__all__ = ["envoy_launch", "write_siblings"]


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
        siblings_file=str(run_dir / SIBLINGS_FILE),
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
        hand_over_s=settings.envoy.hand_over_s if _can_hand_over(settings) else None,
    )


def write_siblings(settings: SidecarSettings, text: str) -> None:
    """Have Envoy know the endpoints that send as this host does (`sidecar.xds.siblings`)."""
    file = settings.run_dir / settings.node / SIBLINGS_FILE
    try:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            write_atomically(file, text)
    except OSError as problem:
        log.error("siblings_not_written", file=str(file), reason=str(problem))


def _can_hand_over(settings: SidecarSettings) -> bool:
    """Whether another Envoy can take over from ours: we start it, by a shell, and there is memory to meet in."""
    has_means = os.access(SHARED_MEMORY, os.W_OK) and os.access(SHELL, os.X_OK)
    return settings.envoy.managed and has_means
