"""`./dev demo`: sets up a mesh on this machine, walks through what it can do, and removes every trace of it.

python -m meshd.demo [--keep] [--step N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable

from meshd.cli import exits
from meshd.demo.hosts import EDGE, HOSTS
from meshd.demo.playground import GATEWAY_HOST, Playground
from meshd.demo.screen import Screen
from meshd.demo.steps import STEPS
from meshd.demo.walk import Walk, samples_directory
from store.errors import MeshError

__all__ = ["main"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status: 0, 1 when a step failed, 130 when it was interrupted."""
    told = _parse(arguments)
    try:
        return asyncio.run(_supervised(_demo(told.keep, told.step, Screen.standard())))
    except MeshError as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return exits.NO
    except BrokenPipeError:
        # Else the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.READER_GONE


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev demo",
        description="A mesh on this machine: etcd, sidecars with Envoys, sample services; then a walk through it.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave it running at the end, till Ctrl-C"
    )
    parser.add_argument(
        "--step",
        type=int,
        choices=range(1, len(STEPS) + 1),
        metavar="N",
        help=f"show only step N (1 to {len(STEPS)}); what it builds on is put first",
    )
    return parser.parse_args(arguments)


async def _supervised(work: Awaitable[int]) -> int:
    """Run the work; the first signal ends it in order, further ones are not heard while it ends."""
    task = asyncio.ensure_future(work)
    heard = False

    def interrupt() -> None:
        nonlocal heard
        if not heard:
            heard = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        return exits.INTERRUPTED


async def _demo(keep: bool, only: int | None, screen: Screen) -> int:
    samples_directory()
    began = time.monotonic()
    playground = Playground()
    try:
        screen.text(
            "Starting an etcd, three hosts and a gateway, each with a sidecar and an Envoy ..."
        )
        await playground.open()
        _introduce(playground, screen, time.monotonic() - began)
        failed = await Walk(playground, screen, only).run()
        screen.line()
        status = _conclude(failed, screen, time.monotonic() - began)
        if keep:
            await _keep(playground, screen)
        return status
    finally:
        with contextlib.suppress(OSError):  # nobody may be reading any more
            screen.note("Ending every process and removing every file ...")
        playground.close()


def _introduce(playground: Playground, screen: Screen, took_s: float) -> None:
    screen.fact("ready", f"after {took_s:.1f} s, in {playground.directory}")
    screen.fact("etcd", playground.etcd)
    for host in (*HOSTS, EDGE):
        place = playground.places[host.name]
        lives = ", ".join(f"{app.service} {app.version}" for app in host.apps)
        role = lives or "HTTPS gateway"
        screen.fact(host.name, f"{place.address:<14} outbound port {place.outbound_port}   {role}")


def _conclude(failed: list[str], screen: Screen, took_s: float) -> int:
    if failed:
        screen.bad(f"{len(failed)} of the steps: {', '.join(failed)}")
        return exits.NO
    screen.good(f"every step did what it should, in {took_s:.0f} s")
    return exits.OK


async def _keep(playground: Playground, screen: Screen) -> None:
    """Say how to use the mesh, and leave it running until a signal comes."""
    place = playground.places[HOSTS[0].name]
    edge = playground.places[EDGE.name]
    port = playground.gateway_port
    ca = shlex.quote(str(playground.certificates / "ca.pem"))
    host = playground.etcd.removeprefix("http://")
    screen.line()
    screen.text("The mesh is left running. In another terminal, from this directory:")
    screen.line()
    for line in (
        f"export MESHD_ETCD={playground.etcd} MESHD_RUN_DIR={playground.run_dir}",
        "./dev run meshd status",
        "./dev run meshd peers",
        "./dev run meshd ejections -o wide",
        "./dev run meshd get virtualservices -A",
        "./dev run meshd put -f deploy/samples/bookinfo/04-canary.yaml --wait",
        "./dev run meshd trace --from vm-1 GET http://reviews:9080/ -H 'cookie: user=jason'",
        f"./dev run etcdctl --endpoints {host} get --prefix --keys-only /meshd/v1/",
        f"curl -x {place.proxy} http://reviews:9080/",
        f"curl --cacert {ca} --resolve {GATEWAY_HOST}:{port}:{edge.address} https://{GATEWAY_HOST}:{port}/productpage",
        f"tail -f {playground.directory}/log/*.log",
    ):
        screen.line(f"  {line}")
    screen.line()
    _invite_to_ejection(playground, screen)
    screen.line()
    screen.text("Ctrl-C here ends it all.")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _invite_to_ejection(playground: Playground, screen: Screen) -> None:
    """Lines to make an endpoint fail, and to watch what the mesh makes of it."""
    place = playground.places[HOSTS[1].name]
    app = f"http://{place.address}:{place.app_ports['reviews-v2']}"
    proxies = " ".join(playground.places[host.name].proxy for host in HOSTS)
    screen.text(
        "One endpoint fails under traffic, is ejected everywhere, and returns when it is well:"
    )
    screen.line()
    for line in (
        "./dev run meshd put -f deploy/samples/bookinfo/08-outlier-detection.yaml --wait",
        f"curl -X POST {app}/sick",
        f"for i in $(seq 30); do for p in {proxies}; do curl -x $p http://reviews:9080/; done; sleep 0.3; done",
        "./dev run meshd ejections -o wide",
        f"curl -X POST {app}/well",
    ):
        screen.line(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
