"""The command `meshd`: which verbs there are, and what an error becomes.

Verbs are named here and imported when used, so that `meshd --help` loads neither pydantic nor gRPC.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import NamedTuple

import click

from meshd.cli import exits
from meshd.cli.options import common_options, write_examples
from store.errors import InputError, MeshError, is_out_of_memory

__all__ = ["VERBS", "VerbRow", "main", "program"]


class VerbRow(NamedTuple):
    """One line of the list of verbs."""

    section: str
    """Heading that it stands under."""
    summary: str
    """The first line of its help; a test holds the two against each other."""
    module: str = ""
    """Module in `meshd.cli.verbs`; empty: the verb's own name."""


_PUBLISH, _LOOK, _JUDGE, _PROGRAM = "Publish", "Look", "Judge", "This program"

VERBS: dict[str, VerbRow] = {
    "put": VerbRow(_PUBLISH, "Write objects from files into the mesh, all of them or none."),
    "delete": VerbRow(_PUBLISH, "Delete objects from the mesh."),
    "edit": VerbRow(_PUBLISH, "Edit objects in your editor and write them back."),
    "rollback": VerbRow(_PUBLISH, "Bring back what a change overwrote, as a new change."),
    "epoch": VerbRow(_PUBLISH, "Show which etcd is followed; accept one that is held off."),
    "get": VerbRow(_LOOK, "Show objects of the mesh."),
    "history": VerbRow(_LOOK, "Show who changed what, and when."),
    "diff": VerbRow(_LOOK, "Show what putting files would change."),
    "explain": VerbRow(_LOOK, "Explain a kind or a field of it."),
    "trace": VerbRow(_LOOK, "Show where a request goes, and why."),
    "graph": VerbRow(_LOOK, "Draw who reaches whom."),
    "status": VerbRow(_LOOK, "Show how the hosts of the mesh are, worst first."),
    "peers": VerbRow(_LOOK, "Show who is a member of the mesh, and how each is held."),
    "ejections": VerbRow(_LOOK, "Show accused and ejected endpoints: by whom, why, and why not."),
    "validate": VerbRow(_JUDGE, "Check objects in files without writing anything."),
    "check": VerbRow(_JUDGE, "Check the whole mesh: store, objects, sidecars, gossip."),
    "keyring": VerbRow(_PROGRAM, "Make, list and change the keys that gossip is sealed with."),
    "version": VerbRow(_PROGRAM, "Show versions of this program, the sidecars and etcd."),
    "config": VerbRow(_PROGRAM, "Show or choose the named profile in use."),
    "completion": VerbRow(_PROGRAM, "Print the completion script for a shell."),
}
"""Every verb, in the order of the help."""

_ALIASES = {"apply": "put"}
_EXAMPLES = (
    "meshd put -f routes/ -m 'canary to 10 %' --wait",
    "meshd trace --from vm-7 GET http://reviews:9080/x -H 'cookie: user=jason'",
    "meshd status",
)


class Program(click.Group):
    """The group of verbs, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks for it
        """All verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click asks for it
        """The verb, imported now; None for a name that is none."""
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        module = importlib.import_module(f"meshd.cli.verbs.{VERBS[name].module or name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or a usage error that names the nearest."""
        name = args[0]
        if name in VERBS or name in _ALIASES or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from store.diagnostics import nearest_hint

        hint = nearest_hint(name, [*VERBS, *_ALIASES])
        raise click.UsageError(
            f'there is no verb "{name}"; {hint or "meshd --help lists them"}', ctx
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does, then examples."""
        super().format_help_text(ctx, formatter)
        write_examples(formatter, _EXAMPLES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click asks for it
        """Write the verbs, by section, without importing them."""
        for section in dict.fromkeys(row.section for row in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, row.summary) for name, row in VERBS.items() if row.section == section]
                )


@click.command(
    "meshd",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=list(common_options(hidden=False)),
    no_args_is_help=True,
)
@click.version_option(package_name="meshd", message="meshd %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Publish and look into a mesh whose objects live in etcd."""
    context.ensure_object(dict)


def main() -> None:
    """Entry point: run the verb and end the process with a status of the one table."""
    from store.etcd.ending import end_process

    end_process(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the verb that `arguments` name; returns the exit status."""
    given: dict[str, str] = {}
    try:
        if "_MESHD_COMPLETE" in os.environ:
            program.main(arguments, prog_name="meshd", obj=given)
        # Not program.main: it would give a broken pipe a status of its own.
        with program.make_context("meshd", list(arguments), obj=given) as context:
            status = program.invoke(context)
        sys.stdout.flush()
        return status if isinstance(status, int) else exits.OK
    except (click.exceptions.Abort, KeyboardInterrupt, EOFError):
        click.echo("meshd: interrupted", err=True)
        return exits.INTERRUPTED
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as problem:
        problem.show()
        return exits.USAGE
    except BrokenPipeError:
        # Else the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.READER_GONE
    except MeshError as problem:
        _explain(problem)
        return problem.exit_status
    except Exception as bug:  # noqa: BLE001 - the boundary of the program: everything else is a bug of ours
        if is_out_of_memory(bug):
            click.echo(
                "meshd: no more memory, or no more threads, were to be had (see ulimit -v, ulimit -u)",
                err=True,
            )
            return exits.OUT_OF_MEMORY
        _report(bug, is_verbose="verbose" in given)
        return exits.BUG


def _explain(problem: MeshError) -> None:
    """Say what went wrong and what to do, on standard error."""
    if isinstance(problem, InputError) and problem.diagnostics:
        from store.diagnostics import render

        click.echo(render(problem.diagnostics), err=True, nl=False)
    click.echo(f"meshd: {problem.message}", err=True)
    if problem.hint:
        click.echo(f"  {problem.hint}", err=True)


def _report(bug: Exception, *, is_verbose: bool) -> None:
    if is_verbose:
        click.echo("".join(traceback.format_exception(bug)), err=True, nl=False)
    name = type(bug).__name__
    click.echo(f"meshd: this is a bug in meshd: {name}: {bug}", err=True)
    more = "the traceback above" if is_verbose else "the traceback that -v shows"
    click.echo(f"  Please report it with `meshd version` and {more}", err=True)


if __name__ == "__main__":
    main()
