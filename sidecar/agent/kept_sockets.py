"""Sockets that outlive this process: the service manager keeps them while the sidecar restarts, and hands them on.

So a question that is asked meanwhile waits in its socket for the next sidecar, instead of being refused. Without a
service manager sockets are bound anew each time. Source: systemd.service(5), FileDescriptorStoreMax; sd_listen_fds(3);
sd_notify(3).
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import MutableMapping

from sidecar.agent.log import log

__all__ = ["KeptSockets"]

FIRST_DESCRIPTOR = 3
_TCP_BACKLOG = 128


class KeptSockets:
    """What the service manager handed on, and the way to have it keep more.

    Args:
        environment: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are taken out of it, so that children do not see them.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        told = os.environ if environment is None else environment
        self._manager = told.get("NOTIFY_SOCKET", "")
        meant = told.pop("LISTEN_PID", "") == str(os.getpid())
        count, names = told.pop("LISTEN_FDS", ""), told.pop("LISTEN_FDNAMES", "")
        self._found: dict[str, socket.socket] = {}
        if meant and count.isdigit():
            for offset, name in zip(range(int(count)), names.split(":"), strict=False):
                descriptor = FIRST_DESCRIPTOR + offset
                os.set_inheritable(descriptor, False)
                self._found[name] = socket.socket(fileno=descriptor)

    def datagrams(self, address: str, port: int) -> socket.socket:
        """The datagram socket of this place: the one that was kept, else a new one.

        Raises:
            OSError: It cannot be bound.
        """
        return self._socket(socket.SOCK_DGRAM, address, port)

    def listener(self, address: str, port: int) -> socket.socket:
        """The listening socket of this place: the one that was kept, else a new one.

        Raises:
            OSError: It cannot be bound.
        """
        return self._socket(socket.SOCK_STREAM, address, port)

    def release_others(self) -> None:
        """Close what was handed on and nobody asked for (a port that is another by now)."""
        for name, unused in self._found.items():
            self._tell(f"FDSTOREREMOVE=1\nFDNAME={name}")
            unused.close()
        self._found.clear()

    def _socket(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        name = f"dns-{'udp' if kind is socket.SOCK_DGRAM else 'tcp'}{6 if ':' in address else 4}-{port}"
        kept = self._found.pop(name, None)
        if kept is not None:
            log.info("socket_handed_on", name=name)
            return kept
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        try:
            if kind is socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if kind is socket.SOCK_STREAM:
                made.listen(_TCP_BACKLOG)
        except OSError:
            made.close()
            raise
        self._tell(f"FDSTORE=1\nFDNAME={name}", made)
        return made

    def _tell(self, text: str, sent: socket.socket | None = None) -> None:
        """Say something to the service manager, with a socket; where nobody listens nothing is kept."""
        if not self._manager:
            return
        address = f"\0{self._manager[1:]}" if self._manager.startswith("@") else self._manager
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sent.fileno()]))]
            if sent
            else []
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.setblocking(False)
            with contextlib.suppress(OSError):  # one that went away is no reason not to serve
                speaker.connect(address)
                speaker.sendmsg([text.encode()], rights)
