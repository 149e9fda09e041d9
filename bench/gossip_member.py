"""One lean process of the gossip bench: `GossipShell` alone, without Envoy and etcd.

    python -m bench.gossip_member NAME ADDRESS PORT FOLDER KEY_FILE

Reads from its standard input `join ADDRESS:PORT`, which makes that address known as a seed, as etcd would; writes a
line for each change of a member: `alive NAME`, `suspect NAME`, `dead NAME`, `left NAME`; `ready` once it listens.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import trio

from sidecar.agent.gossip_keys import EpochFile, KeyringFile, host_signer
from sidecar.agent.gossip_shell import GossipShell, Place, Told
from sidecar.agent.seeds import Seeds
from sidecar.gossip import events as on


def main(arguments: Sequence[str]) -> None:
    name, address, port, folder, key_file = arguments
    trio.run(_run, name, address, int(port), Path(folder), Path(key_file))


async def _run(name: str, address: str, port: int, own: Path, key_file: Path) -> None:
    seeds: list[str] = []
    shell = GossipShell(
        Place(node=name, advertise=address, bind=address, port=port),
        keys=KeyringFile(key_file, "bench"),
        signer=host_signer(own / "host.key")[0],
        epochs=EpochFile(own / "epoch"),
        seeds=Seeds((), lambda: seeds),
    )
    shell.listen(_say)
    async with trio.open_nursery() as nursery:
        await nursery.start(shell.run)
        print("ready", flush=True)
        async for line in _lines():
            _, _, seed = line.partition(" ")
            seeds.append(seed)
            shell.seeds_changed()
        nursery.cancel_scope.cancel()


async def _lines() -> AsyncIterator[str]:
    stream = trio.lowlevel.FdStream(sys.stdin.fileno())
    rest = b""
    async for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


def _say(told: Told) -> None:
    if isinstance(told, on.MemberChanged) and told.before is not told.after:
        print(told.after.value, told.identity.node, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
