"""`meshd check`: the whole mesh at once, as far as this machine sees and hears it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from meshd.cli import exits
from meshd.cli.options import output_option, verb
from meshd.cli.session import Session

if TYPE_CHECKING:
    from meshd.cli.check import Check

__all__ = ["command"]

PAUSE_S = 0.5
"""Pause between two looks of `--wait`."""


@verb(
    "check",
    examples=("meshd check", "meshd check --wait --timeout 60", "meshd check -o json"),
)
@click.option("--wait", is_flag=True, help="Look again until all is well.")
@click.option(
    *("--timeout", "timeout_s"),
    type=click.FloatRange(0.0, 3600.0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait waits.",
)
@output_option("text", "json")
def command(session: Session, /, wait: bool, timeout_s: float, output: str) -> int:
    """Check the whole mesh: store, objects, sidecars, gossip.

    What is not well comes with what to do. The exit status is 1 when anything failed; warnings alone leave it 0.
    """
    from meshd.cli.check import Outcome
    from meshd.cli.checks import run_checks

    end = time.monotonic() + timeout_s
    while True:
        results = run_checks(session)
        failed = [one for one in results if one.outcome is Outcome.FAILED]
        if not wait or not failed or time.monotonic() >= end:
            break
        time.sleep(PAUSE_S)
    if output == "json":
        from meshd.cli.forms import as_json_text

        document = {"ok": not failed, "checks": [one.as_json() for one in results]}
        session.console.say(as_json_text(document))
    else:
        _say(session, results)
    return exits.NO if failed else exits.OK


def _say(session: Session, results: Sequence[Check]) -> None:
    from meshd.cli.check import Outcome

    group = ""
    colours = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.FAILED: "red"}
    for one in results:
        if one.group != group:
            group = one.group
            session.console.say(group)
        word = click.style(f"{one.outcome.value:<8}", fg=colours[one.outcome])
        session.console.say(f"  {word} {one.text}")
        for hint in one.hints:
            session.console.say(f"           {hint}")
    outcomes = Counter(one.outcome for one in results)
    failed, warnings = outcomes[Outcome.FAILED], outcomes[Outcome.WARNING]
    verdict = f"{failed} of {len(results)} checks failed" if failed else "nothing failed"
    session.console.say(f"{verdict}; warnings: {warnings}" if warnings else verdict)
