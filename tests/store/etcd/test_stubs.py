"""The generated messages load without the packages around them."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_loading_the_messages_runs_no_other_code_of_their_wheel() -> None:
    run(
        "import sys, store.etcd.stubs; assert not [m for m in sys.modules if m.startswith('aetcd')]"
    )


def test_a_program_that_imports_the_whole_wheel_as_well_still_works() -> None:
    run(
        "import store.etcd.stubs as ours, aetcd.rpc.rpc_pb2 as theirs;"
        "assert theirs.RangeRequest(key=b'k') == ours.rpc.RangeRequest(key=b'k')"
    )
    run(
        "import aetcd, store.etcd.stubs as ours; assert ours.rpc.RangeRequest(key=b'k').key == b'k'"
    )
