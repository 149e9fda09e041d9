"""The log: one JSON object a line on standard error where nobody watches."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
from sidecar.agent.log import configure, log
configure("warning", "h1")
log.info("not_shown")
log.warning("registration_lost", key="/meshd/v1/hosts/h1", reason='two\\nlines and "quotes"')
try:
    raise KeyError("a bug")
except KeyError:
    log.exception("status_api_failed", path="/v1/status")
"""


def test_lines_are_json_with_level_time_node_and_facts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert first["event"] == "registration_lost"
    assert (first["level"], first["node"]) == ("warning", "h1")
    assert first["reason"] == 'two\nlines and "quotes"'
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "error"
    assert "KeyError" in second["exception"]
