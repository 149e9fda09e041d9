"""`meshd completion`: the script that makes a shell complete verbs, options and kinds."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from meshd.cli import exits
from meshd.cli.options import verb
from meshd.cli.session import Session

__all__ = ["command"]


@verb(
    "completion",
    examples=(
        "source <(meshd completion bash)",
        "meshd completion zsh > ~/.zfunc/_meshd",
        "meshd completion fish > ~/.config/fish/completions/meshd.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(session: Session, /, shell: str) -> int:
    """Print the completion script for a shell."""
    from meshd.cli.main import program

    made = get_completion_class(shell)
    assert made is not None, f"click knows no {shell}"
    session.console.say(made(program, {}, "meshd", "_MESHD_COMPLETE").source())
    return exits.OK
