"""`meshd config`: which etcd and which namespace this program talks about, by named profile."""

from __future__ import annotations

import click

from meshd.cli import exits
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

__all__ = ["command"]


@click.group("config", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show or choose the named profile in use."""


@verb("show", examples=("meshd config show", "meshd config show -o json"))
@output_option("table", "json")
def show(session: Session, /, output: str) -> int:
    """Show the profiles, and which one is in use.

    Profiles are kept in ~/.config/meshd/config.toml: `use = "prod"` and tables [profile.prod] with endpoints, ca, cert,
    key, user, password_file, prefix, request_timeout_s, namespace, run_dir.
    """
    from meshd.cli.profiles import config_file, read_profiles

    use, profiles = read_profiles(session.environment)
    if output == "json":
        from meshd.cli.forms import as_json_text

        session.console.say(as_json_text({"use": use, "profile": profiles}))
    elif profiles:
        from meshd.cli.tables import table

        rows = [
            ["*" if name == use else " ", name, one.get("endpoints", ""), one.get("namespace", "")]
            for name, one in sorted(profiles.items())
        ]
        session.console.say(table(("IN USE", "NAME", "ENDPOINTS", "NAMESPACE"), rows))
    else:
        session.console.note(f"no profile in {config_file(session.environment)}")
    return exits.OK


@verb("use", examples=("meshd config use prod",))
@click.argument("name")
def use(session: Session, /, name: str) -> int:
    """Use a profile from now on."""
    from meshd.cli.profiles import use_profile

    file = use_profile(name, session.environment)
    session.console.note(f'{file}: "{name}" is in use')
    return exits.OK


command.add_command(show)
command.add_command(use)
