"""What every verb gets: the settings of this run, the console, the store, the sidecars.

Settings come from flags, then the environment, then the named profile of `~/.config/meshd/config.toml`, then
defaults. Nothing is imported or connected before a verb asks for it.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from meshd.cli.console import Console, wants_colour
from meshd.cli.rundir import run_dir
from store.errors import InputError
from store.keys import is_namespace

if TYPE_CHECKING:
    from store.etcd.client import EtcdClient

__all__ = ["DEFAULT_NAMESPACE", "Session"]

DEFAULT_NAMESPACE = "default"
QUESTION_S = 5.0
QUESTION_S_MAX = 600.0
_STORE_FLAGS = ("endpoints", "ca", "cert", "key", "user", "password_file", "prefix")


@dataclass
class Session:
    """One run of one verb.

    Args:
        given: Values of the common options, by parameter name; those not given are absent.
        environment: The process environment.
    """

    given: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @cached_property
    def console(self) -> Console:
        """Where words go."""
        return Console(
            quiet="quiet" in self.given,
            verbose="verbose" in self.given,
            colour=wants_colour(self.given.get("color"), self.environment),
        )

    @cached_property
    def profile(self) -> Mapping[str, str]:
        """Settings of the named profile in use, by parameter name; empty when there is none."""
        from meshd.cli.profiles import profile_in_use

        return profile_in_use(self.given.get("profile"), self.environment)

    @property
    def namespace_given(self) -> str | None:
        """The namespace that `-n` names; None without it."""
        return _checked(self.given["namespace"], "-n") if "namespace" in self.given else None

    @property
    def namespace(self) -> str:
        """The namespace of names that have none: `-n`, MESHD_NAMESPACE, the profile's, `default`."""
        given = self.namespace_given
        if given is not None:
            return given
        if told := self.environment.get("MESHD_NAMESPACE"):
            return _checked(told, "MESHD_NAMESPACE")
        return _checked(self.profile.get("namespace", DEFAULT_NAMESPACE), "the profile's namespace")

    @property
    def run_dir(self) -> Path:
        """Directory of the sockets of this machine's sidecars."""
        told = self.given.get("run_dir")
        if not told and not self.environment.get("MESHD_RUN_DIR"):
            told = self.profile.get("run_dir")
        return run_dir(told, self.environment)

    @property
    def timeout_s(self) -> float:
        """Deadline of one question to a sidecar, in seconds: `--request-timeout`, or 5."""
        told = self.given.get("request_timeout_s", "")
        try:
            seconds = float(told.removesuffix("s")) if told else QUESTION_S
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds <= QUESTION_S_MAX:
            raise InputError(f'--request-timeout: "{told}" is not a number of seconds above 0')
        return seconds

    @property
    def author(self) -> str:
        """Who history says wrote: MESHD_AUTHOR, else user@host."""
        if told := self.environment.get("MESHD_AUTHOR"):
            return told
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user id without a name, as in containers
            user = str(os.geteuid())
        return f"{user}@{socket.gethostname()}"

    @contextmanager
    def store(self) -> Iterator[EtcdClient]:
        """A client of the store, closed at the end.

        Raises:
            InputError: The settings are wrong; every problem is named.
        """
        from store.etcd.client import EtcdClient
        from store.etcd.settings import VARIABLES, read_settings

        # gRPC's own library writes to standard error when a connection fails; the error says it better.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        flags = {name: self.given[name] for name in _STORE_FLAGS if name in self.given}
        if "request_timeout_s" in self.given:
            flags["request_timeout_s"] = self.given["request_timeout_s"]
        below = {
            variable: self.profile[name]
            for name, (_, variable) in VARIABLES.items()
            if name in self.profile
        }
        with EtcdClient(read_settings(flags, {**below, **self.environment})) as client:
            yield client


def _checked(namespace: str, where: str) -> str:
    if not is_namespace(namespace):
        raise InputError(
            f'{where}: "{namespace}" is not a namespace: lower-case letters, digits and "-", at most 63'
        )
    return namespace
