"""The page `docs/cli.md`, made from the verbs themselves.

python -m meshd.cli.manual > docs/cli.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from meshd.cli import exits
from meshd.cli.main import VERBS, program
from meshd.cli.options import Verb, VerbGroup, common_options

__all__ = ["manual"]

_STATUSES = (
    (exits.OK, "done, or the answer is yes"),
    (
        exits.NO,
        "ran fine, and the answer is no: differences, findings, unhealthy, no route, not in force",
    ),
    (exits.USAGE, "the command line is wrong"),
    (exits.INVALID, "an object, a file or a setting is invalid"),
    (exits.NOT_FOUND, "what was asked for does not exist"),
    (exits.CONFLICT, "somebody else wrote first; nothing was written"),
    (exits.UNREACHABLE, "store or sidecar cannot be reached, or did not answer in time"),
    (exits.BUG, "a bug in meshd"),
    (exits.OUT_OF_MEMORY, "no more memory, or no more threads, were to be had"),
    (exits.INTERRUPTED, "interrupted (Ctrl-C)"),
    (exits.READER_GONE, "whoever read the output has gone (`| head`)"),
)

_INTRODUCTION = """\
# The command `meshd`

Made from the program (`python -m meshd.cli.manual > docs/cli.md`); a test holds the two against each other.

What was asked for goes to standard output, talk about it to standard error. Colours show on terminals only (`--color`,
`NO_COLOR`, `FORCE_COLOR`). Settings come from options, then the environment, then the profile in use, then defaults.
"""


def manual() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Exit status\n"
    yield "The same for all verbs, whatever the form of the output.\n"
    yield "| status | meaning |\n| ---: | --- |"
    yield from (f"| {status} | {meaning} |" for status, meaning in _STATUSES)
    yield "\n## Options of every verb\n"
    yield "They may stand before the verb or behind it.\n"
    yield "| option | meaning |\n| --- | --- |"
    context = click.Context(program)
    for option in common_options(hidden=False):
        yield from _option(option, context)
    for name, row in VERBS.items():
        command = program.get_command(context, name)
        assert command is not None, f"{name} is a verb"
        yield f"\n## meshd {name}\n"
        if isinstance(command, VerbGroup):
            yield from _verb(command, f"meshd {name}")
        elif isinstance(command, click.Group):
            yield f"{row.summary}\n"
        if isinstance(command, click.Group):
            for part, below in command.commands.items():
                yield f"### meshd {name} {part}\n"
                yield from _verb(below, f"meshd {name} {part}")
        else:
            yield from _verb(command, f"meshd {name}")


def _verb(command: click.Command, name: str) -> Iterator[str]:
    assert isinstance(command, Verb), f"{name} is declared with `verb`"
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield "\n".join(line.strip() for line in (command.help or "").splitlines())
    yield f"\n```\n{name} {usage}\n```\n"
    yield "Examples:\n\n```\n" + "\n".join(command.examples) + "\n```\n"
    common = {option.name for option in common_options(hidden=False)}
    own = [
        option
        for option in command.params
        if isinstance(option, click.Option) and option.name not in common
    ]
    if own:
        yield "| option | meaning |\n| --- | --- |"
        for option in own:
            yield from _option(option, context)


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    record = option.get_help_record(context)
    if record is not None:
        names, meaning = (text.replace("|", "\\|") for text in record)
        yield f"| `{names}` | {meaning} |"


if __name__ == "__main__":
    click.echo(manual(), nl=False)
