"""`meshd-sidecar envoy`: becomes this host's Envoy, for a service manager that runs it in a unit of its own.

Everything that Envoy must know to start follows from the sidecar's settings; the rest comes from the sidecar when
it is there. So either may be started first, and either restarted without the other.
"""

from __future__ import annotations

import os
from typing import NoReturn

from sidecar.agent.launch import envoy_launch
from sidecar.agent.settings import SidecarSettings
from store.errors import InputError

__all__ = ["become_envoy"]


def become_envoy(settings: SidecarSettings) -> NoReturn:
    """Write Envoy's bootstrap and replace this process by Envoy; its output goes where this one's does.

    Raises:
        InputError: The settings say that the sidecar starts Envoy, or a directory or Envoy is not to be had.
    """
    if settings.envoy.managed:
        raise InputError(
            "envoy.managed is true: the sidecar starts and restarts Envoy itself",
            hint="Set managed = false in [envoy] where a unit of its own runs Envoy",
        )
    launch = envoy_launch(settings)
    try:
        for directory in (launch.run_dir, launch.log_file.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        launch.write_files()
        launch.admin_socket.unlink(missing_ok=True)
        os.execv(launch.binary, launch.command())
    except OSError as problem:
        raise InputError(
            f'Envoy cannot be started from "{launch.binary}": {problem}',
            hint="Check envoy.path, run_dir, data_dir and their permissions",
        ) from problem
