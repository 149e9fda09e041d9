"""How to reach the store: endpoints, TLS, user, prefix, deadline. All problems are reported at once.

Reads no environment by itself: the caller passes the mapping. Passwords come from files, never from flags,
the environment or etcd. Source of the variables' meaning: the README's table of settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from store.errors import InputError
from store.keys import DEFAULT_PREFIX, check_prefix

__all__ = ["DEFAULT_ENDPOINT", "VARIABLES", "EtcdSettings", "read_settings"]

DEFAULT_ENDPOINT = "http://127.0.0.1:2379"
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
    """How to reach the store; made by `read_settings`, or as a table of a program's own settings.

    Raises (as pydantic does) when something is wrong, naming every problem at once.
    """

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
    request_timeout_s: float = Field(default=5.0, gt=0.0, le=TIMEOUT_S_MAX)
    """Deadline of one call, all endpoints tried included, in seconds; etcd itself gives up after 7."""

    @property
    def identity(self) -> str:
        """Who asks, in words; empty where etcd is told nobody."""
        if self.user:
            return f'user "{self.user}"'
        return f"the user that certificate {self.cert} names" if self.cert else ""

    @field_validator("endpoints", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """`a,b` and lists mean the same; spaces, closing slashes and repetitions are dropped."""
        urls = value.split(",") if isinstance(value, str) else value
        if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
            return value
        return tuple(dict.fromkeys(url.strip().rstrip("/") for url in urls if url.strip()))

    @model_validator(mode="after")
    def _check(self) -> EtcdSettings:
        found = [f"{field}: {problem}" for field, problem in _problems(self)]
        if found:
            raise ValueError("; ".join(found))
        return self


def read_settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> EtcdSettings:
    """Settings from flags (by field name), then from the environment, then defaults.

    Raises:
        InputError: Something is wrong; the message lists every problem with the flag or variable to mend.
    """
    given: dict[str, str] = {}
    origin = {field: flag for field, (flag, _) in VARIABLES.items()}
    for field, (flag, variable) in VARIABLES.items():
        if flags.get(field):
            given[field], origin[field] = str(flags[field]), flag
        elif environment.get(variable):
            given[field], origin[field] = environment[variable], variable
    values: dict[str, object] = dict(given)
    problems: list[str] = []
    if "request_timeout_s" in given:
        values["request_timeout_s"] = timeout_s = _seconds(given["request_timeout_s"])
        if not 0.0 < timeout_s <= TIMEOUT_S_MAX:
            problems.append(
                f'{origin["request_timeout_s"]}: "{given["request_timeout_s"]}" is not a number of seconds '
                f"above 0 and up to {TIMEOUT_S_MAX:g}"
            )
    if "endpoints" in given:
        values["endpoints"] = EtcdSettings._split(given["endpoints"])
    unchecked = EtcdSettings.model_construct(**values)  # type: ignore[arg-type]  # checked by the next line
    problems.extend(f"{origin[field]}: {problem}" for field, problem in _problems(unchecked))
    if problems:
        raise InputError("settings of etcd: " + "; ".join(problems))
    return EtcdSettings.model_validate(values)


def _problems(settings: EtcdSettings) -> Iterator[tuple[str, str]]:
    """Everything that is wrong, as (field, what is wrong and what to do)."""
    urls = settings.endpoints
    if not urls:
        yield "endpoints", f"names no endpoint; write for instance {DEFAULT_ENDPOINT}"
    for url in urls:
        fault = _endpoint_fault(url)
        if fault:
            yield "endpoints", f'endpoint "{url}" {fault}'
    if len({urlsplit(url).scheme for url in urls if "://" in url}) > 1:
        yield "endpoints", "mixes http and https; all members must be reached alike"
    yield from _file_problems(settings)
    if any(url.startswith("http://") for url in urls):
        for field in ("ca", "cert", "key"):
            if getattr(settings, field):
                yield field, "is given, yet the endpoints are http://; write https://"
    try:
        check_prefix(settings.prefix)
    except InputError as error:
        yield "prefix", str(error)


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


def _file_problems(settings: EtcdSettings) -> Iterator[tuple[str, str]]:
    """Files must exist and be readable, and what belongs together must be given together."""
    for field in ("ca", "cert", "key", "password_file"):
        path = getattr(settings, field)
        if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
            yield field, f'file "{path}" is absent or cannot be read'
    for one, other in (("cert", "key"), ("user", "password_file")):
        for have, lack in ((one, other), (other, one)):
            if getattr(settings, have) and not getattr(settings, lack):
                flag, variable = VARIABLES[lack]
                yield have, f"is given without {flag} ({variable}); they go together"


def _seconds(text: str) -> float:
    """Seconds written `5` or `5s`; 0 where it is neither."""
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        return 0.0
