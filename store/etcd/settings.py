"""How to reach the store: endpoints, TLS, user, prefix, deadline. All problems are reported at once.

Reads no environment by itself: the caller passes the mapping. Passwords come from files, never from flags,
the environment or etcd. Source of the variables' meaning: the README's table of settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from store.errors import InputError

__all__ = ["DEFAULT_ENDPOINT", "VARIABLES", "EtcdSettings", "read_settings"]

DEFAULT_ENDPOINT = "http://127.0.0.1:2379"
DEFAULT_PREFIX = "/meshd/v1"
TIMEOUT_S_MAX = 600.0

VARIABLES = {
    "endpoints": ("--etcd", "MESHD_ETCD"),
    "ca": ("--etcd-ca", "MESHD_ETCD_CA"),
    "cert": ("--etcd-cert", "MESHD_ETCD_CERT"),
    "key": ("--etcd-key", "MESHD_ETCD_KEY"),
    "user": ("--etcd-user", "MESHD_ETCD_USER"),
    "password_file": ("--etcd-password-file", "MESHD_ETCD_PASSWORD_FILE"),
    "prefix": ("--prefix", "MESHD_PREFIX"),
    "request_timeout_s": ("--etcd-timeout", "MESHD_ETCD_TIMEOUT"),
}
"""Field -> its flag and its environment variable."""


class EtcdSettings(BaseModel):
    """How to reach the store; made by `read_settings`, or directly where the values are known to be good."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    """URLs of members, `http://host:port` or `https://host:port`; tried in this order."""
    ca: str = ""
    """File with the CA certificates that sign the members' (PEM); empty: the system's."""
    cert: str = ""
    """File with this client's certificate (PEM); etcd takes its common name as the user."""
    key: str = ""
    """File with the private key of `cert` (PEM)."""
    user: str = ""
    """User name for password authentication."""
    password_file: str = ""
    """File with the password of `user`; read anew at each authentication, so it may be rotated."""
    prefix: str = DEFAULT_PREFIX
    """Where the mesh's keys lie, so that meshes can share one etcd."""
    request_timeout_s: float = 5.0
    """Deadline of one call, all endpoints tried included, in seconds; etcd itself gives up after 7."""

    def history_prefix(self) -> str:
        """Where history lies: outside the prefix, so that the sidecars' watch does not carry it."""
        return f"{self.prefix}-history"


def read_settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> EtcdSettings:
    """Settings from flags (by field name), then from the environment, then defaults.

    Raises:
        InputError: Something is wrong; the message lists every problem with the flag or variable to mend.
    """
    given: dict[str, str] = {}
    origin: dict[str, str] = {}
    for field, (flag, variable) in VARIABLES.items():
        if flags.get(field):
            given[field], origin[field] = str(flags[field]), flag
        elif environment.get(variable):
            given[field], origin[field] = environment[variable], variable
    problems: list[str] = []
    endpoints = _endpoints(given, origin, problems)
    _tls(given, origin, endpoints, problems)
    timeout_s = _timeout_s(given, origin, problems)
    _prefix(given, origin, problems)
    if problems:
        raise InputError("settings of etcd: " + "; ".join(problems))
    texts = {
        field: given[field] for field in given if field not in ("endpoints", "request_timeout_s")
    }
    return EtcdSettings(endpoints=endpoints, request_timeout_s=timeout_s, **texts)


def _endpoints(
    given: Mapping[str, str], origin: Mapping[str, str], problems: list[str]
) -> tuple[str, ...]:
    if "endpoints" not in given:
        return (DEFAULT_ENDPOINT,)
    urls = tuple(
        dict.fromkeys(
            url.strip().rstrip("/") for url in given["endpoints"].split(",") if url.strip()
        )
    )
    for url in urls:
        fault = _endpoint_fault(url)
        if fault:
            problems.append(f'{origin["endpoints"]}: endpoint "{url}" {fault}')
    if not urls:
        problems.append(
            f"{origin['endpoints']}: names no endpoint; write for instance {DEFAULT_ENDPOINT}"
        )
    if len({urlsplit(url).scheme for url in urls if "://" in url}) > 1:
        problems.append(
            f"{origin['endpoints']}: mixes http and https; all members must be reached alike"
        )
    return urls


def _endpoint_fault(url: str) -> str:
    """What is wrong with one endpoint; empty when nothing is."""
    if "://" not in url:
        return f"has no scheme; write http://{url}, or https://{url} for TLS"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return f'has the scheme "{parts.scheme}"; http and https are understood'
    try:
        port = parts.port
    except ValueError:
        return "has a port that is not a number from 1 to 65535"
    if not parts.hostname or not port:
        return "needs host and port, for instance http://10.0.0.5:2379"
    if parts.username or parts.path or parts.query or parts.fragment:
        return "must be scheme, host and port alone; users go to --etcd-user, folders to --prefix"
    return ""


def _tls(
    given: Mapping[str, str],
    origin: Mapping[str, str],
    endpoints: tuple[str, ...],
    problems: list[str],
) -> None:
    """Files exist and can be read, what belongs together is given together, and TLS files meet https."""
    for field in ("ca", "cert", "key", "password_file"):
        path = given.get(field)
        if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
            problems.append(f'{origin[field]}: file "{path}" is absent or cannot be read')
    for one, other in (("cert", "key"), ("user", "password_file")):
        for have, lack in ((one, other), (other, one)):
            if have in given and lack not in given:
                flag, variable = VARIABLES[lack]
                problems.append(
                    f"{origin[have]} is given without {flag} ({variable}); they go together"
                )
    if any(url.startswith("http://") for url in endpoints):
        problems.extend(
            f"{origin[field]} is given, yet the endpoints are http://; write https://"
            for field in ("ca", "cert", "key")
            if field in given
        )


def _timeout_s(given: Mapping[str, str], origin: Mapping[str, str], problems: list[str]) -> float:
    if "request_timeout_s" not in given:
        return 5.0
    text = given["request_timeout_s"].removesuffix("s")
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0.0 < timeout_s <= TIMEOUT_S_MAX:
        problems.append(
            f'{origin["request_timeout_s"]}: "{given["request_timeout_s"]}" is not a number of seconds '
            f"above 0 and up to {TIMEOUT_S_MAX:g}"
        )
    return timeout_s


def _prefix(given: Mapping[str, str], origin: Mapping[str, str], problems: list[str]) -> None:
    prefix = given.get("prefix", DEFAULT_PREFIX)
    if not prefix.startswith("/") or prefix.endswith("/") or "//" in prefix:
        problems.append(
            f'{origin["prefix"]}: "{prefix}" must begin with "/", not end with it and have no empty part, '
            f"for instance {DEFAULT_PREFIX}"
        )
