"""`meshd-sidecar capture up|down|status`: installs, removes and shows the rules of transparent capture."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from sidecar.agent.settings import SidecarSettings
from sidecar.capture.plan import CapturePlan

__all__ = ["capture"]

EXIT_NO = 1
LOOK_S = 1.0
"""How long a port of loopback may take to answer whether anybody listens."""

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group()
def capture() -> None:
    """Redirect this machine's connections to its sidecar, without the applications' doing.

    \b
    Examples:
      meshd-sidecar capture up --print
      meshd-sidecar capture up --dns --exclude-range 10.9.0.0/16
      meshd-sidecar capture up --only-user web --enforce
      meshd-sidecar capture status
      meshd-sidecar capture down
    """  # noqa: D301 - \b is click's mark for lines that it must not wrap


_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."
)
_NETNS = click.option(
    "--netns",
    default="",
    metavar="NAME",
    help="Network namespace, by name or path; default this one.",
)


def _list(name: str, field: str, text: str) -> Callable[[_F], _F]:
    return click.option(name, field, multiple=True, metavar="VALUE", help=text)


@capture.command()
@_CONFIG
@_NETNS
@click.option("--print", "only_print", is_flag=True, help="Print the rules; change nothing.")
@click.option("--user", help="User of the sidecar and its Envoy, never captured; default meshd.")
@_list("--only-user", "users", "Capture this user only (repeated; where one context is set).")
@_list("--only-group", "groups", "Capture this group only.")
@_list("--only-cgroup", "cgroups", "Capture this control group only.")
@_list("--include-port", "include_ports", "Capture only these ports: 80, 8000-8100.")
@_list("--exclude-port", "exclude_ports", "Leave these ports alone.")
@_list("--include-range", "include_ranges", "Capture only these addresses: 10.0.0.0/8.")
@_list("--exclude-range", "exclude_ranges", "Leave these addresses alone.")
@_list("--inbound-port", "inbound_ports", "Capture what arrives for these ports.")
@_list("--exclude-inbound-port", "exclude_inbound_ports", "Leave what arrives for these alone.")
@click.option("--outbound/--no-outbound", default=None, help="Capture what leaves.")
@click.option("--inbound/--no-inbound", default=None, help="Capture what arrives.")
@click.option("--dns/--no-dns", default=None, help="Capture DNS queries.")
@_list("--dns-server", "dns_servers", "Resolver whose queries are captured.")
@click.option("--loopback/--no-loopback", default=None, help="Also what goes to this host itself.")
@click.option("--enforce/--no-enforce", default=None, help="Drop what would bypass the sidecar.")
@click.pass_context
def up(
    context: click.Context, /, config: Path | None, netns: str, only_print: bool, **flags: Any
) -> None:
    """Install the rules, in the place of those that were there; all of them or none."""
    from sidecar.agent import nft
    from sidecar.agent.capture_plan import capture_plan
    from sidecar.capture.ruleset import ruleset

    settings = _settings(context, config, flags)
    plan = capture_plan(settings)
    script = ruleset(plan)
    if only_print:
        click.echo(script, nl=False)
        return
    nft.install(script, netns)
    if not netns:
        _warn_of_silence(plan)
    click.echo(f"captured; `meshd-sidecar capture status{_of(netns)}` shows what is redirected")


@capture.command()
@_NETNS
def down(netns: str) -> None:
    """Remove all rules; connections that are open go on."""
    from sidecar.agent import nft

    was_there = nft.remove(netns)
    click.echo("no longer captured" if was_there else "nothing was captured")


@capture.command()
@_NETNS
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form.")
def status(netns: str, output: str) -> int:
    """Show which rules are installed, and what they took. The exit status is 1 when none are."""
    from sidecar.agent import nft

    rules = nft.installed(netns)
    if output == "json":
        rows = [
            {"chain": one.chain, "rule": one.comment, "packets": one.packets, "bytes": one.bytes}
            for one in rules or ()
        ]
        click.echo(json.dumps({"captured": rules is not None, "rules": rows}, indent=1))
    elif rules is None:
        click.echo("nothing is captured; `meshd-sidecar capture up` does it")
    else:
        click.echo(f"{'CHAIN':<18}{'PACKETS':>9}{'BYTES':>12}  RULE")
        for one in rules:
            click.echo(f"{one.chain:<18}{one.packets:>9}{one.bytes:>12}  {one.comment}")
    return EXIT_NO if rules is None else 0


def _warn_of_silence(plan: CapturePlan) -> None:
    """Say where nobody listens: connections that are redirected there are refused."""
    wanted = {one.outbound_port: one.label for one in plan.selections if plan.outbound is not None}
    if plan.inbound is not None:
        wanted[plan.inbound.port] = "inbound"
    silent = [f"{port} ({label})" for port, label in sorted(wanted.items()) if not _is_open(port)]
    if silent:
        click.echo(
            f"meshd-sidecar: warning: nobody listens on port {', '.join(silent)} yet, so that captured connections are "
            "refused: is the sidecar running, with capture.enabled in its settings?",
            err=True,
        )


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LOOK_S).close()
    except OSError:
        return False
    return True


def _of(netns: str) -> str:
    return f" --netns {netns}" if netns else ""


def _settings(
    context: click.Context, config: Path | None, flags: Mapping[str, Any]
) -> SidecarSettings:
    """The sidecar's settings, with what the flags say over them."""
    from sidecar.agent.main import config_file
    from sidecar.agent.settings_layers import from_layers, layers

    given = {name: value for name, value in flags.items() if value not in (None, ())}
    senders: dict[str, Any] = {
        name: given.pop(name) for name in ("users", "groups", "cgroups") if name in given
    }
    stack = layers(config_file(config or context.find_object(Path)), os.environ, {"capture": given})
    settings = from_layers(stack)
    if not senders:
        return settings
    if len(settings.contexts) > 1:
        raise click.UsageError(
            "with several contexts, each names its users, groups and cgroups itself"
        )
    (only,) = settings.effective_contexts()
    return settings.model_copy(update={"contexts": (only.model_copy(update=senders),)})
