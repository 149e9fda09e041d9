"""The command `meshd-sidecar`: reads settings, then runs the daemon, with or without an application beside it.

meshd-sidecar run --config /etc/meshd/sidecar.toml
meshd-sidecar run --service reviews --port 9080 -- ./app
meshd-sidecar --config sidecar.toml --show-config
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.agent.capture_command import capture
from sidecar.agent.ending import EXIT_BUG, end_with_a_starved_thread, tell_end
from sidecar.agent.wait_command import wait
from store.errors import EXIT_OUT_OF_MEMORY, InputError, MeshError
from store.etcd.ending import end_process

__all__ = ["config_file", "main", "run_command"]

EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point of `meshd-sidecar`; ends the process with an exit status of the common table."""
    status = EXIT_BUG
    try:
        status = run_command()
    except MemoryError:
        status = EXIT_OUT_OF_MEMORY
    except BaseException as problem:  # noqa: BLE001 - an interruption among other errors, for instance
        status = tell_end(problem)
    finally:
        # Also where not even the telling of an error succeeds, for want of memory: a thread of gRPC could keep a
        # process without its daemon alive, and nobody would start another one.
        end_process(status)


def run_command() -> int:
    """Run the command line of this process; returns the exit status."""
    try:
        status = command.main(standalone_mode=False)
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except MeshError as problem:
        click.echo(f"meshd-sidecar: {problem}", err=True)
        return problem.exit_status
    except Exception as problem:  # noqa: BLE001 - the outermost boundary: a bug ends the process with its trace
        return tell_end(problem)
    return status if isinstance(status, int) else 0


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with settings; default /etc/meshd/sidecar.toml where it exists.",
)
@click.option(
    "--show-config", is_flag=True, help="Print every setting, its value and where it came from."
)
@click.option("--check-config", is_flag=True, help="Say whether the settings are right, and stop.")
@click.pass_context
def command(
    context: click.Context, config: Path | None, show_config: bool, check_config: bool
) -> None:
    """Run one host's sidecar: watch etcd, drive the local Envoy.

    \b
    Examples:
      meshd-sidecar run --config /etc/meshd/sidecar.toml
      meshd-sidecar run --etcd http://10.0.0.1:2379 --service reviews --port 9080 -- ./app
      meshd-sidecar --config sidecar.toml --show-config
    """  # noqa: D301 - \b is click's mark for lines that it must not wrap
    context.obj = config
    if show_config or check_config:
        from sidecar.agent.settings_layers import from_layers
        from sidecar.agent.settings_report import report

        stack = _stack(config, {})
        settings = from_layers(stack)
        click.echo(report(settings, stack) if show_config else "the settings are right")
        context.exit(0)
    if context.invoked_subcommand is None:
        raise click.UsageError('what to do? `meshd-sidecar run` starts the daemon; see "--help"')


@command.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."
)
@click.option("--etcd", help="etcd endpoints, separated by commas (also MESHD_ETCD).")
@click.option("--node", help="Node id, unique in the mesh and stable; default the host name.")
@click.option("-n", "--namespace", help="Namespace of the workload.")
@click.option(
    "-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the workload."
)
@click.option(
    "--group", help="WorkloadGroup whose template says the rest: labels, ports, weight, probe."
)
@click.option("--service", help="Service that the local application is an endpoint of.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of that service.")
@click.option("--app-port", type=click.IntRange(1, 65535), help="Port the application listens on.")
@click.option("--protocol", help="Protocol of the port: HTTP, HTTP2, GRPC, TCP ...; default HTTP.")
@click.option("--address", help="Address under which peers reach this host.")
@click.option(
    "--outbound-port", type=click.IntRange(1, 65535), help="Port of the outbound listener."
)
@click.option("--run-dir", type=click.Path(path_type=Path), help="Directory of sockets.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Directory of what outlives a restart."
)
@click.argument("app", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, /, config: Path | None, app: tuple[str, ...], **flags: Any) -> int:
    """Run the daemon, and the application APP beside it when one is given.

    The daemon ends when the application does, after its registration is withdrawn and requests in flight
    have finished.
    """
    from sidecar.agent.daemon import run_daemon
    from sidecar.agent.settings_layers import from_layers

    settings = from_layers(_stack(config or context.obj, _nested(flags)))
    end_with_a_starved_thread()
    return run_daemon(settings, app)


@command.command()
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."
)
@click.pass_context
def envoy(context: click.Context, /, config: Path | None) -> None:
    """Become this host's Envoy, where a unit of its own runs it (envoy.managed = false)."""
    from sidecar.agent.envoy_unit import become_envoy
    from sidecar.agent.settings_layers import from_layers

    become_envoy(from_layers(_stack(config or context.obj, {})))


@command.command()
def version() -> None:
    """Print the version of this program and of the Envoy that it would start."""
    from importlib.metadata import version as installed

    from sidecar.agent.envoy_program import find_envoy

    click.echo(f"meshd-sidecar {installed('meshd')}")
    try:
        click.echo(f"envoy {find_envoy('')}")
    except MeshError as problem:
        click.echo(f"envoy: {problem}", err=True)


command.add_command(capture)
command.add_command(wait)

DEFAULT_CONFIG = Path("/etc/meshd/sidecar.toml")


def config_file(told: Path | None) -> Path | None:
    """The settings file: the one told, else the usual one where it is."""
    return DEFAULT_CONFIG if told is None and DEFAULT_CONFIG.exists() else told


def _stack(config: Path | None, flags: Mapping[str, Any]) -> Any:
    from sidecar.agent.settings_layers import layers

    return layers(config_file(config), os.environ, flags)


def _nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as nested settings; what was not given is left out."""
    plain = ("node", "namespace", "address", "outbound_port", "run_dir", "data_dir")
    nested: dict[str, Any] = {name: flags[name] for name in plain if flags[name] is not None}
    if flags["etcd"]:
        nested["etcd"] = {"endpoints": flags["etcd"].split(",")}
    if flags["labels"]:
        nested["labels"] = dict(_label(text) for text in flags["labels"])
    if flags["service"] or flags["port"]:
        if not (flags["service"] and flags["port"]):
            raise InputError(
                "--service and --port go together",
                hint="for instance --service reviews --port 9080",
            )
        port = {
            "number": flags["port"],
            "app_port": flags["app_port"],
            "protocol": flags["protocol"] or "HTTP",
        }
        nested["workloads"] = [{"service": flags["service"], "ports": [port]}]
        if flags["group"]:
            nested["workloads"][0]["group"] = flags["group"]
    elif flags["app_port"] or flags["protocol"]:
        raise InputError("--app-port and --protocol need --service and --port")
    elif flags["group"]:
        nested["workloads"] = [{"group": flags["group"]}]
    return nested


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(
            f"--label {text}: is not KEY=VALUE", hint="for instance --label version=v1"
        )
    return key, value


if __name__ == "__main__":
    main()
