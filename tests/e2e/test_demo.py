"""`./dev demo` as a person runs it: real etcd, real Envoys; every step as it should be, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.processes import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(240)]

START_S = 90.0
"""Machines that test are slow and busy."""
END_S = 45.0
DIRECTORY = re.compile(r"in (/\S*/meshd-demo-\S+)")
ADDRESS = re.compile(r"http://(127\.0\.\d+)\.100:\d+")


class Demo:
    """One run of the demo, its output in a file."""

    def __init__(self, output: Path, *arguments: str) -> None:
        self.output = output
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "meshd.demo", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MESHD_ETCD": "http://127.0.0.1:1", "MESHD_NODE": "not-ours"},
            )

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> str:
        def shown() -> bool:
            assert self.process.poll() is None, f"the demo ended early:\n{self.text}"
            return words in self.text

        wait_until(shown, START_S, f'"{words}" in the demo\'s output')
        return self.text

    def end(self) -> int:
        return self.process.wait(END_S)

    @property
    def directory(self) -> Path:
        found = DIRECTORY.search(self.text)
        assert found, self.text
        return Path(found[1])

    def processes(self) -> list[str]:
        """Command lines of everything that runs out of the demo's directory."""
        return processes_of(self.directory)

    def assert_no_trace(self) -> None:
        """No process, no file, no port."""
        assert self.processes() == []
        assert not self.directory.exists()
        subnet = ADDRESS.search(self.text)
        assert subnet, self.text
        assert [line for line in listening() if line.startswith(f"{subnet[1]}.")] == []


def processes_of(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            cwd = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(directory) in command or cwd.startswith(str(directory)):
            found.append(command)
    return found


def listening() -> list[str]:
    """`address:port` of every listening TCP socket of this machine (IPv4)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = []
    for row in rows:
        if row[3] == "0A":
            address, port = row[1].split(":")
            octets = [str(octet) for octet in reversed(bytes.fromhex(address))]
            found.append(f"{'.'.join(octets)}:{int(port, 16)}")
    return found


@contextmanager
def demo(tmp_path: Path, *arguments: str) -> Iterator[Demo]:
    running = Demo(tmp_path / "output.txt", *arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(END_S)


def test_every_step_does_what_it_should_and_nothing_is_left(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("ready")
        directory = running.directory
        assert running.process.wait(180) == 0, running.text
        assert directory == running.directory
        running.assert_no_trace()
    text = running.text
    assert "FAILED" not in text
    assert "\x1b" not in text
    for title in (
        "default routing",
        "all to v1",
        "user jason to v2",
        "canary, 90 to 10",
        "URI prefixes in a namespace",
        "HTTPS ingress gateway",
        "external service over mutual TLS",
        "a bad object, put with etcdctl",
        "one endpoint falls ill",
    ):
        assert title in text
    times = re.findall(
        r"in force +vm-1 [\d.]+ ms  vm-2 [\d.]+ ms  vm-3 [\d.]+ ms  edge [\d.]+ ms", text
    )
    assert len(times) == text.count("\n== ")
    assert text.count("MESH0102 spec.http[0].route[0].wieght: unknown field") == 4
    assert re.search(r"60 100\.0 %  productpage v1 > reviews v2 > ratings v1", text)
    assert "60 100.0 %  quotes v1 (client demo-mesh)" in text
    told = re.findall(r"mesh +vm-1 has heard of all 4 hosts that they have it in force", text)
    assert len(told) == len(times)
    assert_the_mesh_is_told_by_one(text)
    assert_the_illness_is_told(text)


def assert_the_mesh_is_told_by_one(text: str) -> None:
    """`meshd status` beside one sidecar: its own row, and three that it has heard of."""
    [table] = re.findall(r"\$ meshd status\n((?: {4}.*\n)+)", text)
    rows = [line.split() for line in table.splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        [node, "in-force"] for node in ("edge", "vm-1", "vm-2", "vm-3")
    ]
    assert [row[-1] for row in rows[1:]] == ["ago", "here", "ago", "ago"]


def assert_the_illness_is_told(text: str) -> None:
    """Ejected by all, who accused it and why, calm meanwhile, back at all."""
    everywhere = r"vm-1 [\d.]+ s  vm-2 [\d.]+ s  vm-3 [\d.]+ s"
    assert re.search(rf"ejected +{everywhere}  since it fell ill", text)
    [told] = re.findall(r"\$ meshd ejections -o wide\n((?: {4}.*\n|\n)+)", text)
    assert re.search(r"reviews\.default\.svc\.cluster\.local:9080 +127\.0\.\d+\.2:\d+", told)
    assert len(re.findall(r"vm-\d  bad  [1-9]\d* 5xx", told)) >= 2, told
    assert "2 needed" in told
    assert "no request fails any more" in text
    assert re.search(rf"back +{everywhere}  since it is well", text)
    assert re.search(r"none of [1-9]\d* requests has failed since it is well", text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_half_way_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as running:
        running.wait_for("ready")
        assert len(running.processes()) >= 10  # so that finding none later means something
        running.process.send_signal(number)
        running.process.send_signal(number)  # an impatient second one must not cut the ending short
        assert running.end() == 130
        running.assert_no_trace()


def test_a_signal_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("Starting")
        pid = running.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")

        def directories() -> set[str]:
            # A child that was forked just now still stands where the demo was started.
            return {
                match[1]
                for child in children.read_text().split()
                for match in [
                    re.search(r"(/\S*/meshd-demo-\w+)", os.readlink(f"/proc/{child}/cwd"))
                ]
                if match
            }

        wait_until(directories, START_S, "the first process of the demo in its directory")
        [directory] = directories()
        running.process.terminate()
        assert running.end() == 130
        assert processes_of(Path(directory)) == []
        assert not Path(directory).exists()


def test_a_failure_half_way_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("ready")
        [ratings] = [line for line in running.processes() if "meshd.demo.services ratings" in line]
        kill_by_command(ratings)
        assert running.end() == 1
        assert re.search("FAILED|ratings-v1 ended with status -9", running.text)
        running.assert_no_trace()


def test_a_reader_that_goes_away_leaves_nothing_behind() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "meshd.demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    head = process.stdout.readline() + process.stdout.readline()
    found = DIRECTORY.search(head)
    assert found, head
    process.stdout.close()
    try:
        assert process.wait(START_S) == 141
        assert process.stderr.read() == ""
    finally:
        process.stderr.close()
        process.kill()
        process.wait(END_S)
    assert processes_of(Path(found[1])) == []
    assert not Path(found[1]).exists()


def kill_by_command(command: str) -> None:
    """End the one process of the demo with exactly this command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if found == command:
                os.kill(int(entry.name), signal.SIGKILL)


def test_kept_running_it_can_be_used_with_the_lines_that_it_prints(tmp_path: Path) -> None:
    with demo(tmp_path, "--keep", "--step", "2") as running:
        text = running.wait_for("Ctrl-C here ends it all")
        exports = re.search(r"export MESHD_ETCD=(\S+) MESHD_RUN_DIR=(\S+)", text)
        assert exports, text
        environment = {**os.environ, "MESHD_ETCD": exports[1], "MESHD_RUN_DIR": exports[2]}
        commands = re.findall(r"^  \./dev run (meshd .*)$", text, re.MULTILINE)
        assert len(commands) >= 7
        assert {"meshd peers", "meshd ejections -o wide"} <= set(commands)
        for command in commands:
            line = f"{sys.executable} -m meshd.cli.main {command.removeprefix('meshd ')}"
            top = Path(__file__).parents[2]
            done = subprocess.run(
                line,
                check=False,
                shell=True,
                env=environment,
                cwd=top,
                capture_output=True,
                timeout=60,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            if command == "meshd ejections -o wide":
                assert b"no endpoint is accused or ejected" in done.stderr
            else:
                assert done.stdout, command
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
        running.assert_no_trace()
