"""Runs `meshd` in the demo, as a person would, and hands back what it printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Output", "run_meshd", "shown"]

COMMAND_S = 30.0
"""How long one may take on a busy machine; parts of a second are normal."""
COLUMNS = "150"
"""Width that tables may take."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed and how it ended."""

    text: str
    """Standard output and error, as a terminal would show them."""
    status: int
    """Its exit status."""


def shown(arguments: Sequence[str]) -> str:
    """The command line for people."""
    words = [f"'{word}'" if " " in word else word for word in arguments]
    return f"meshd {' '.join(words)}"


async def run_meshd(
    arguments: Sequence[str], environment: Mapping[str, str], *, etcd: str, run_dir: Path
) -> Output:
    """Run it to its end; a cancelled one is killed.

    Args:
        arguments: After `meshd`.
        environment: Of the demo's processes.
        etcd: Endpoint of etcd.
        run_dir: Directory of the sidecars that it may ask.

    Raises:
        TimeoutError: It did not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meshd.cli.main", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **environment,
            "MESHD_RUN_DIR": str(run_dir),
            "MESHD_ETCD": etcd,
            "COLUMNS": COLUMNS,
        },
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), COMMAND_S)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    assert process.returncode is not None, "it has ended"
    return Output(output.decode(errors="replace"), process.returncode)
