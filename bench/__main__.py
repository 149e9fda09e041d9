"""`python -m bench [NAME] [--json] [options]`: lists the benches, or runs one."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

__all__ = ["BENCHES", "main"]

BENCHES = (
    "propagate",
    "startup",
    "scale",
    "proxy",
    "churn",
    "cli",
    "mirror",
    "ejection-study",
    "gossip-scale",
    "gossip",
    "evidence",
    "eject",
)
"""Modules of this package, by the name they are run by; a dash stands for an underscore."""


def main(arguments: Sequence[str]) -> int:
    """Run one bench and print what it found; without a name, list them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure meshd on this machine.")
    subparsers = parser.add_subparsers(dest="name", metavar="NAME")
    modules = {name: importlib.import_module(f"bench.{name.replace('-', '_')}") for name in BENCHES}
    for name, module in modules.items():
        one = subparsers.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        one.add_argument(
            "--json", action="store_true", help="one JSON object in place of the table"
        )
        module.add_options(one)
    options = parser.parse_args(arguments)
    if options.name is None:
        parser.print_help()
        return 0
    report = modules[options.name].run(options)
    print(report.json() if options.json else report.table())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
