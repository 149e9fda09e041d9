"""A request as a person writes it for `trace`: a method, a whole URL, headers as `name:value`.

Read once for both who answer: a sidecar's status API and `meshd trace --offline`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from sidecar.routing.match import Request
from store.errors import InputError

__all__ = ["request_asked"]


def request_asked(method: str, url: str, headers: Iterable[str]) -> Request:
    """The request that is asked about; a `host` header names the authority in place of the URL's.

    Args:
        method: GET when empty.
        url: With scheme and host.
        headers: Each `name:value`.

    Raises:
        InputError: The URL or a header is none.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where the port is no number
    except ValueError as problem:
        raise InputError(f'the URL cannot be read, found "{url}": {problem}') from problem
    if not parts.scheme or not parts.netloc:
        raise InputError(
            f'the URL must be whole, found "{url}"', hint="for instance http://reviews:9080/"
        )
    pairs = [_pair(text) for text in headers]
    authority = next((value for name, value in pairs if name.lower() == "host"), parts.netloc)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    plain = tuple((name, value) for name, value in pairs if name.lower() != "host")
    return Request(method or "GET", parts.scheme, authority, path, plain)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator:
        raise InputError(f'a header must be name:value, found "{text}"')
    return name.strip(), value.strip()
