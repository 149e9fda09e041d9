"""Connections to etcd members: gRPC options, TLS, and one channel per member.

Options are those of the rules that every etcd client must follow to notice a frozen or half-open member in
about 11 s (measured: without `http2.ping_timeout_ms` it takes 68 s). The back-off between attempts is the
caller's: a channel that could not connect is thrown away by the caller, so no hidden timer delays recovery.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import grpc

from store.errors import InputError
from store.etcd.settings import EtcdSettings

__all__ = ["MESSAGE_BYTES_MAX", "open_channel"]

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Largest answer taken; lists are paged far below it."""

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # This one bounds a single attempt to connect, whatever its name says.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A channel of its own for each user: a watch must not starve behind reads, nor inherit their back-off.
    ("grpc.use_local_subchannel_pool", 1),
    # No retries behind our back: a write whose answer is lost is read back, never repeated.
    ("grpc.enable_retries", 0),
    # http_proxy is set for applications of the mesh; the store is never reached through it.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(settings: EtcdSettings, endpoint: str) -> grpc.Channel:
    """A new channel to one member; connects at its first call, and reads certificate files now.

    Raises:
        InputError: A certificate file cannot be read.
    """
    parts = urlsplit(endpoint)
    if parts.scheme == "http":
        return grpc.insecure_channel(parts.netloc, options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(settings.ca),
        private_key=_read(settings.key),
        certificate_chain=_read(settings.cert),
    )
    return grpc.secure_channel(parts.netloc, credentials, options=OPTIONS)


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f'settings of etcd: file "{path}" cannot be read: {error.strerror}',
            hint="Check the path and its permissions",
        ) from error
