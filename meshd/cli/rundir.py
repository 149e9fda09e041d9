"""Where the sidecars of this machine keep their sockets: `<run dir>/<node>/status.sock`.

The same rule as the sidecar's own setting `run_dir`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["run_dir"]


def run_dir(told: str | None, environment: Mapping[str, str]) -> Path:
    """`--run-dir`, else MESHD_RUN_DIR, else `/run/meshd` for root, else a directory of the user's own."""
    if named := told or environment.get("MESHD_RUN_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/run/meshd")
    return Path(environment.get("XDG_RUNTIME_DIR", f"/tmp/meshd-{os.geteuid()}")) / "meshd"
