"""`etcdctl` in tests: what an operator would type."""

from __future__ import annotations

import subprocess

from store.etcd.programs import find_program
from tests.harness.processes import EtcdProcess

__all__ = ["etcdctl"]


def etcdctl(etcd: EtcdProcess, *words: str, stdin: str | None = None) -> str:
    """Runs `etcdctl --endpoints URL WORDS...` and returns what it printed; AssertionError shows a failure."""
    tls = etcd.tls
    flags = ["--cacert", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key)] if tls else []
    done = subprocess.run(
        [str(find_program("etcdctl")), "--endpoints", etcd.url, *flags, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=20,
        env={"ETCDCTL_API": "3"},
        check=False,
    )
    assert done.returncode == 0, f"etcdctl {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
