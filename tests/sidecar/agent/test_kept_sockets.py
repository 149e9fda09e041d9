"""Sockets that the service manager keeps: handed over by name, handed on to the next process, released when unused."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.kept_sockets import KeptSockets
from tests.harness.namespaces import as_user
from tests.harness.processes import free_port

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="forks as root of its own")


class Manager:
    """A service manager's socket, and what it was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def told(self) -> tuple[str, list[int]]:
        """The next word, and the descriptors that came with it."""
        text, descriptors, _, _ = socket.recv_fds(self._socket, 1000, 4)
        return text.decode(), list(descriptors)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_a_new_socket_is_given_to_the_manager_by_name(manager: Manager) -> None:
    port = free_port()
    with KeptSockets({"NOTIFY_SOCKET": str(manager.path)}).datagrams("127.0.0.1", port) as made:
        text, (descriptor,) = manager.told()
        assert text == f"FDSTORE=1\nFDNAME=dns-udp4-{port}"
        with socket.socket(fileno=descriptor) as copy:
            assert copy.getsockname() == made.getsockname()


@needs_root
def test_a_question_asked_while_nobody_is_there_waits_for_the_next(manager: Manager) -> None:
    port = free_port()
    KeptSockets({"NOTIFY_SOCKET": str(manager.path)}).datagrams("127.0.0.1", port).close()
    _, (kept,) = manager.told()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.send(b"anybody?")

    def next_process() -> tuple[bytes, dict[str, str]]:
        os.dup2(kept, 3)
        environment = {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": f"dns-udp4-{port}",
        }
        with KeptSockets(environment).datagrams("127.0.0.1", port) as handed_on:
            handed_on.settimeout(20)
            return handed_on.recv(100), environment

    message, environment = as_user(0, next_process)
    os.close(kept)
    assert message == b"anybody?"
    assert environment == {}, "children must not take them for theirs"


@needs_root
def test_what_nobody_asks_for_is_released(manager: Manager) -> None:

    def next_process() -> None:
        with socket.socket() as stale:
            os.dup2(stale.fileno(), 3)
        told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "dns-tcp4-1"}
        KeptSockets({**told, "NOTIFY_SOCKET": str(manager.path)}).release_others()

    manager.path.parent.chmod(0o755)
    as_user(0, next_process)
    assert manager.told() == ("FDSTOREREMOVE=1\nFDNAME=dns-tcp4-1", [])


def test_descriptors_meant_for_another_process_are_left_alone() -> None:
    told = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "dns-udp4-53"}
    with KeptSockets(told).datagrams("127.0.0.1", free_port()) as made:
        assert made.fileno() > 0


def test_a_port_that_is_taken_is_an_error(manager: Manager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        KeptSockets({}).listener("127.0.0.1", taken.getsockname()[1])
