"""Options that every verb understands, before the verb's name or behind it; and how a verb is declared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from meshd.cli.session import Session

__all__ = [
    "Verb",
    "VerbGroup",
    "common_options",
    "output_option",
    "verb",
    "verb_group",
    "write_examples",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_POINTER = "Options of every verb (--etcd, --run-dir, -q, ...): meshd --help"


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep what was given in the context that verb and program share; the verb's own place wins."""
    if value not in (None, False):
        context.ensure_object(dict)[parameter.name] = "yes" if value is True else str(value)
    return value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(list(names), expose_value=False, callback=_remember, **attributes)


_STRINGS = (
    (("--etcd", "endpoints"), "URL,...", "etcd endpoints [MESHD_ETCD]."),
    (("--etcd-ca", "--ca", "ca"), "FILE", "CA of etcd [MESHD_ETCD_CA]."),
    (("--etcd-cert", "--cert", "cert"), "FILE", "This client's certificate [MESHD_ETCD_CERT]."),
    (("--etcd-key", "--key", "key"), "FILE", "Its private key [MESHD_ETCD_KEY]."),
    (("--etcd-user", "--user", "user"), "NAME", "User of etcd [MESHD_ETCD_USER]."),
    (
        ("--etcd-password-file", "--password-file", "password_file"),
        "FILE",
        "File with the user's password [MESHD_ETCD_PASSWORD_FILE].",
    ),
    (("--prefix", "prefix"), "KEY", "Where the mesh's keys lie [MESHD_PREFIX]."),
    (
        ("--etcd-timeout", "--request-timeout", "request_timeout_s"),
        "SECONDS",
        "Deadline of one call to etcd or a sidecar [MESHD_ETCD_TIMEOUT].",
    ),
    (("--run-dir", "run_dir"), "DIR", "Sockets of this machine's sidecars [MESHD_RUN_DIR]."),
    (("--profile", "profile"), "NAME", "Named settings; see `meshd config` [MESHD_PROFILE]."),
)
"""Names, metavar and help of the common options that take a text."""


def common_options(*, hidden: bool) -> list[click.Option]:
    """New option objects; `hidden` leaves them out of a verb's own help, where only the namespace stays."""
    options = [
        _option(
            *("-n", "--namespace", "namespace"),
            metavar="NAMESPACE",
            help="Namespace of names that have none [MESHD_NAMESPACE; default: default].",
        )
    ]
    for names, metavar, text in _STRINGS:
        options.append(_option(*names, metavar=metavar, help=text, hidden=hidden))
    options += [
        _option("-q", "--quiet", "quiet", is_flag=True, help="Less talk.", hidden=hidden),
        _option("-v", "--verbose", "verbose", is_flag=True, help="More talk.", hidden=hidden),
        _option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            help="Colour; also NO_COLOR, FORCE_COLOR.",
            hidden=hidden,
        ),
    ]
    return options


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """The section of examples, one command to a line."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Verb(click.Command):
    """A verb: its own options, the common ones, and a pointer to their help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)
        taken = {name for own in self.params for name in (*own.opts, *own.secondary_opts)}
        for option in common_options(hidden=True):
            option.opts = [name for name in option.opts if name not in taken]
            if option.opts:
                self.params.append(option)
        self.epilog = self.epilog or _POINTER

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does, then examples."""
        super().format_help_text(ctx, formatter)
        write_examples(formatter, self.examples)


class VerbGroup(click.Group, Verb):
    """A verb that does something by itself, and has parts that do more."""


def verb_group(name: str, **attributes: Any) -> Callable[[Callable[..., int | None]], VerbGroup]:
    """Declare a verb with parts: the function is run, as with `verb`, when no part is named."""

    def declare(function: Callable[..., int | None]) -> VerbGroup:
        @click.pass_context
        @functools.wraps(function)
        def run(context: click.Context, /, **values: Any) -> int | None:
            if context.invoked_subcommand is not None:
                return None
            return function(Session(context.ensure_object(dict)), **values)

        settings = {"context_settings": _SETTINGS, "invoke_without_command": True, **attributes}
        return click.group(name, cls=VerbGroup, **settings)(run)

    return declare


def verb(name: str, **attributes: Any) -> Callable[[Callable[..., int | None]], Verb]:
    """Declare a verb: the function gets the session first, then the values of its own options.

    What it returns is the exit status; None means 0.
    """

    def declare(function: Callable[..., int | None]) -> Verb:
        @click.pass_context
        @functools.wraps(function)
        def run(context: click.Context, /, **values: Any) -> int | None:
            return function(Session(context.ensure_object(dict)), **values)

        attributes.setdefault("context_settings", _SETTINGS)
        return click.command(name, cls=Verb, **attributes)(run)

    return declare


def output_option(*formats: str, default: str = "") -> Callable[[Function], Function]:
    """The option `-o`, with the formats that a verb knows."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(list(formats)),
        default=default or formats[0],
        show_default=True,
        help="Form of the output.",
    )
