"""The program `nft`: installs a script in one transaction, removes our table, lists it.

Decides nothing about rules. Says of each way in which it can fail what a person can do about it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.capture.plan import TABLE
from sidecar.capture.ruleset import removal
from store.errors import InputError, MeshError, NotFoundError

__all__ = ["Counted", "KernelRefused", "install", "installed", "remove"]

NAMESPACES = Path("/run/netns")
PLACES = "/usr/sbin:/sbin"
"""Where nft is besides the path: users' paths often leave these out."""
DEADLINE_S = 30.0
"""How long nft may take; the kernel answers in milliseconds unless it is very busy."""


class KernelRefused(MeshError):
    """The kernel, or nft, refused the rules."""

    exit_status = 6


@dataclass(frozen=True, slots=True)
class Counted:
    """One counted rule of the installed table."""

    chain: str
    comment: str
    packets: int
    bytes: int


def install(script: str, namespace: str = "") -> None:
    """Run a script; all of it or nothing is in force.

    Args:
        script: What nft reads.
        namespace: Network namespace, by name or path; empty for this process's own.

    Raises:
        MeshError: It cannot be run, or is refused; nothing was changed.
    """
    _check_root()
    _run(["-f", "-"], namespace, script)


def remove(namespace: str = "") -> bool:
    """Remove our table; whether it was there."""
    _check_root()
    was_there = installed(namespace) is not None
    _run(["-f", "-"], namespace, removal())
    return was_there


def installed(namespace: str = "") -> tuple[Counted, ...] | None:
    """The counted rules of our table; None where it is not installed."""
    _check_root()
    command = [*_command(namespace), "-j", "list", "table", "inet", TABLE]
    done = _call(command, "")
    if done.returncode != 0:
        if "No such file or directory" in done.stderr:
            return None
        raise _refused(done.stderr)
    return tuple(_counted(json.loads(done.stdout)))


def _counted(document: dict[str, Any]) -> list[Counted]:
    rules = [item["rule"] for item in document["nftables"] if "rule" in item]
    found = []
    for rule in rules:
        counters = [part["counter"] for part in rule["expr"] if "counter" in part]
        for counter in counters:
            comment = rule.get("comment", "")
            found.append(Counted(rule["chain"], comment, counter["packets"], counter["bytes"]))
    return found


def _check_root() -> None:
    if os.geteuid() != 0:
        raise InputError(
            "rules of the kernel can only be read and changed by root",
            hint="Run this command by sudo, or see the rules with --print",
        )


def _command(namespace: str) -> list[str]:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{PLACES}")
    if program is None:
        raise NotFoundError(
            "the program nft is not on this machine", hint="Install the package nftables"
        )
    if not namespace:
        return [program]
    path = Path(namespace) if "/" in namespace else NAMESPACES / namespace
    if not path.exists():
        raise NotFoundError(
            f"there is no network namespace {path}", hint="`ip netns list` names them"
        )
    enter = shutil.which("nsenter")
    if enter is None:
        raise NotFoundError(
            "the program nsenter is not on this machine", hint="Install the package util-linux"
        )
    return [enter, f"--net={path}", program]


def _run(arguments: Sequence[str], namespace: str, script: str) -> None:
    done = _call([*_command(namespace), *arguments], script)
    if done.returncode != 0:
        raise _refused(done.stderr)


def _call(command: Sequence[str], script: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise KernelRefused(f"nft did not end within {DEADLINE_S:g} s") from problem
    except OSError as problem:
        raise KernelRefused(f"{command[0]} cannot be run: {problem.strerror}") from problem


def _refused(said: str) -> KernelRefused:
    text = said.strip() or "nft said nothing"
    if "Operation not permitted" in text:
        hint = "This needs CAP_NET_ADMIN in the network namespace"
    elif "cgroupv2" in text:
        hint = "A control group must exist when rules that name it are installed"
    elif "Operation not supported" in text or "No such file or directory" in text:
        hint = "The kernel may lack nf_tables, NAT (nft_redir), fib or socket expressions for it"
    else:
        hint = ""
    return KernelRefused(f"the rules are not installed, nothing was changed: {text}", hint=hint)
