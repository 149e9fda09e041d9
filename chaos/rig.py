"""The whole mesh of a run: three etcd members, hosts with sidecar, Envoy, application and load, one host of writers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos import objects
from chaos.asking import ask, control
from chaos.netns import ChaosError, Network, leftovers, run
from chaos.processes import Process
from chaos.room import give_room, take_room

__all__ = ["ETCD", "QUOTA_BYTES", "Host", "Rig"]

ETCD = ("e1", "e2", "e3")
"""Hosts of the etcd members."""
LEASE_S = 5
"""Life of a registration's lease."""
QUOTA_BYTES = 48 << 20
"""Of the database of each etcd member."""
READY_S = 120.0
OUTBOUND, APP, INBOUND, GOSSIP = 15001, 9081, 15006, 7946


class Host:
    """One test host with everything on it.

    Args:
        name: `h1`, `h2`, ...
        network: Where it is plugged in.
        folder: The run's folder.
        rate: Requests a second of its load.
    """

    def __init__(self, name: str, network: Network, folder: Path, rate: float) -> None:
        self.name = name
        self.address = network.add(name)
        self.folder = folder
        self._network = network
        logs = folder / "logs"
        self.sidecar = self._process(
            "sidecar", "-m", "sidecar.agent.main", "run", "--config", str(self.config)
        )
        self.app = self._process(
            *("app", "-m", "chaos.app", name, "--listen", f"127.0.0.1:{APP}"),
            *("--control", str(self.control_socket)),
        )
        self.client = self._process(
            *("client", "-m", "chaos.client", name, "--rate", f"{rate:g}"),
            *("--listener", self.listener),
            *("--out", str(folder / f"requests-{name}.jsonl")),
            *("--probes", str(folder / f"probes-{name}.jsonl")),
        )
        logs.mkdir(exist_ok=True)

    @property
    def config(self) -> Path:
        """The sidecar's settings."""
        return self.folder / f"{self.name}.toml"

    @property
    def listener(self) -> str:
        """The outbound listener, as its applications address it."""
        return f"http://127.0.0.1:{OUTBOUND}/"

    @property
    def run_dir(self) -> Path:
        """Where its sockets are."""
        return self.folder / "run" / self.name

    @property
    def status_socket(self) -> Path:
        """The sidecar's status API."""
        return self.run_dir / "status.sock"

    @property
    def admin_socket(self) -> Path:
        """Envoy's admin interface."""
        return self.run_dir / "admin.sock"

    @property
    def control_socket(self) -> Path:
        """The application's."""
        return self.folder / f"{self.name}.sock"

    @property
    def envoy_pid(self) -> int | None:
        """Process id of its Envoy; None: there is none."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = int(json.loads((self.run_dir / "envoy.pid").read_text("utf-8"))["pid"])
            os.kill(pid, 0)
            return pid
        return None

    def configure(self, endpoints: Sequence[str], **more: Any) -> None:
        """Write the sidecar's settings."""
        ports = [{"number": objects.PORT, "protocol": "HTTP", "app_port": APP}]
        labels = {"group": objects.group_of(self.name)}
        settings = {
            "node": self.name,
            "address": self.address,
            "run_dir": str(self.folder / "run"),
            "data_dir": str(self.folder / "data"),
            "outbound_port": OUTBOUND,
            "etcd": {"endpoints": list(endpoints)},
            "registration": {"ttl_s": LEASE_S},
            "gossip": {"key_file": str(self.folder / "gossip.keys"), "port": GOSSIP},
            "workloads": [
                {"service": "web", "ports": [{**ports[0], "inbound_port": INBOUND}]},
                {
                    "service": "probe",
                    "labels": labels,
                    "ports": [{**ports[0], "inbound_port": INBOUND + 1}],
                },
            ],
            **more,
        }
        lines = (f"{key} = {_toml(value)}\n" for key, value in settings.items())
        self.config.write_text("".join(lines), "utf-8")

    def tell(self, word: str) -> None:
        """A word to the application."""
        control(self.control_socket, word)

    def is_in_force(self) -> bool:
        """Whether its sidecar answers, and its Envoy has everything."""
        status = self.status()
        return status is not None and status["config"]["state"] == "in-force"

    def status(self) -> dict[str, Any] | None:
        """The sidecar's status; None: it does not answer."""
        return ask(self.status_socket, "/v1/status")

    def _process(self, name: str, *arguments: str) -> Process:
        command = self._network.inside(self.name, [sys.executable, *arguments])
        log = self.folder / "logs" / f"{self.name}-{name}.log"
        return Process(f"{name}@{self.name}", command, log)


class Rig:
    """Everything of one run. `open` starts it; `close` ends and removes it, whatever state it is in.

    Args:
        name: Short, unique on this machine.
        hosts: How many.
        rate: Requests a second of each host's load.
    """

    def __init__(self, name: str, hosts: int, rate: float) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"mchaos-{name}-", dir="/tmp"))
        self.network = Network(name)
        self._rate = rate
        self._count = hosts
        self.hosts: dict[str, Host] = {}
        self.etcd: dict[str, Process] = {}
        self._cluster_token = f"chaos-{name}"
        self.commands_socket = self.folder / "commands.sock"
        """Where `chaos.commands` is asked to be `meshd`, on the host of the writers."""
        self._commands: Process | None = None

    @property
    def endpoints(self) -> list[str]:
        """URLs of all etcd members."""
        return [f"http://{self.network.address(name)}:2379" for name in ETCD]

    def etcd_data(self, name: str) -> Path:
        """The file system of one etcd member."""
        return self.folder / f"{name}.data"

    def addresses(self, names: Sequence[str]) -> list[str]:
        """Addresses of hosts."""
        return [self.network.address(name) for name in names]

    def open(self) -> None:
        """Start it all; returns when every host has everybody in sight.

        Raises:
            ChaosError: Something did not come up.
        """
        self.network.open()
        for name in (*ETCD, "w1"):
            self.network.add(name)
        for name in ETCD:
            give_room(self.etcd_data(name))
            self.etcd[name] = self._member(name)
            self.etcd[name].start()
        key = base64.b64encode(os.urandom(32)).decode()
        keys = self.folder / "gossip.keys"
        keys.touch(mode=0o600)
        keys.write_text(f"{key}\n", "utf-8")
        self.until(self.is_etcd_healthy, "etcd to be healthy")
        for number in range(1, self._count + 1):
            host = Host(f"h{number}", self.network, self.folder, self._rate)
            self.hosts[host.name] = host
            host.configure(self.endpoints)
            host.app.start()
        first = [*objects.services(), *objects.change(0)]
        first += [objects.register(key, objects.first_value(key)) for key in objects.KEYS]
        self.publish("first", first)
        for host in self.hosts.values():
            host.sidecar.start()
        words = [sys.executable, "-m", "chaos.commands", str(self.commands_socket)]
        log = self.folder / "logs" / "commands.log"
        self._commands = Process("commands", self.network.inside("w1", words), log)
        self._commands.start()
        self.until(self.commands_socket.exists, "the process of commands to listen")
        self.until(self.is_whole, "every host to know every other")
        for host in self.hosts.values():
            host.client.start()

    def close(self) -> list[str]:
        """End and remove everything; says what is there all the same."""
        for host in self.hosts.values():
            for process in (host.client, host.sidecar, host.app):
                process.signal(signal.SIGCONT)
                process.kill()
        for member in self.etcd.values():
            member.signal(signal.SIGCONT)
            member.kill()
        if self._commands is not None:
            self._commands.kill()
        self.network.close()
        for name in ETCD:
            take_room(self.etcd_data(name))
        return leftovers(f"{self.name}-")

    def remove(self) -> None:
        """Remove the run's folder too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self, name: str, several: Sequence[dict[str, Any]]) -> None:
        """Write objects into the mesh, outside the history.

        Raises:
            ChaosError: They are not written.
        """
        file = self.folder / f"{name}.yaml"
        file.write_text(objects.text(several), "utf-8")
        run(*self.meshd("put", "--no-analysis", "-f", str(file)))

    def meshd(self, *arguments: str) -> list[str]:
        """A command line of meshd, on the host of the writers."""
        command = [sys.executable, "-m", "meshd.cli.main", *self.words(*arguments)]
        return self.network.inside("w1", command)

    def words(self, *arguments: str) -> list[str]:
        """Words of a command of meshd, against all members of etcd."""
        return ["--etcd", ",".join(self.endpoints), *arguments]

    def etcdctl(self, *arguments: str, member: str = "") -> list[str]:
        """A command line of etcdctl, inside a member's host, or on the host of the writers against all."""
        urls = f"http://{self.network.address(member)}:2379" if member else ",".join(self.endpoints)
        command = [_program("etcdctl"), "--endpoints", urls, *arguments]
        return self.network.inside(member or "w1", ["env", "ETCDCTL_API=3", *command])

    def etcd_version(self) -> str:
        """What its members run."""
        return run(_program("etcd"), "--version").splitlines()[0].rpartition(" ")[2]

    def etcd_hashes(self) -> dict[str, str]:
        """Hash of what each member holds, at the newest revision that all of them have; of those that answer."""
        revisions = {}
        for name in ETCD:
            with contextlib.suppress(ChaosError, ValueError, LookupError):
                told = json.loads(
                    run(*self.etcdctl("endpoint", "status", "-w", "json", member=name))
                )
                revisions[name] = int(told[0]["Status"]["header"]["revision"])
        found = {}
        for name in revisions:
            with contextlib.suppress(ChaosError, ValueError, LookupError):
                at = f"--rev={min(revisions.values())}"
                words = ("endpoint", "hashkv", at, "-w", "json")
                told = json.loads(run(*self.etcdctl(*words, member=name)))
                found[name] = str(told[0]["HashKV"]["hash"])
        return found

    def is_etcd_healthy(self) -> bool:
        """Whether the cluster answers a linearizable question."""
        with contextlib.suppress(ChaosError):
            run(*self.etcdctl("--command-timeout=2s", "get", "nothing"))
            return True
        return False

    def is_whole(self) -> bool:
        """Whether every sidecar has everything in force, and holds all others alive."""
        for host in self.hosts.values():
            status = host.status()
            if status is None or not host.is_in_force():
                return False
            if status["hosts"] < len(self.hosts):
                return False
            if status["gossip"].get("members", {}).get("alive") != len(self.hosts) - 1:
                return False
        return True

    def until(self, is_so: Callable[[], object], what: str, within_s: float = READY_S) -> None:
        """Wait for a condition.

        Raises:
            ChaosError: It did not come in time.
        """
        end_s = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > end_s:
                raise ChaosError(
                    f"waited {within_s:g} s for {what}; it did not come\n{self._tails()}"
                )
            time.sleep(0.1)

    def _tails(self) -> str:
        processes = [host.sidecar for host in self.hosts.values()] + list(self.etcd.values())
        return "\n".join(f"--- {one.name}\n{one.tail(600)}" for one in processes)

    def renew_cluster(self) -> None:
        """From now on members belong to another cluster, by its token."""
        self._cluster_token += "-restored"

    def member_flags(self, name: str, *, state: str, peers: Sequence[str] = ETCD) -> list[str]:
        """The flags of one etcd member."""
        address = self.network.address(name)
        cluster = ",".join(f"{one}=http://{self.network.address(one)}:2380" for one in peers)
        return [
            *("--name", name, "--data-dir", str(self.etcd_data(name) / "etcd")),
            *("--quota-backend-bytes", str(QUOTA_BYTES)),
            *("--listen-client-urls", f"http://{address}:2379"),
            *("--advertise-client-urls", f"http://{address}:2379"),
            *("--listen-peer-urls", f"http://{address}:2380"),
            *("--initial-advertise-peer-urls", f"http://{address}:2380"),
            *("--initial-cluster", cluster, "--initial-cluster-state", state),
            *("--initial-cluster-token", self._cluster_token),
            *("--log-level", "warn", "--logger", "zap"),
        ]

    def _member(self, name: str) -> Process:
        flags = self.member_flags(name, state="new")
        command = self.network.inside(name, [_program("etcd"), *flags])
        return Process(f"etcd@{name}", command, self.folder / f"{name}.log")


def _program(name: str) -> str:
    """Debian's etcd where it is installed (several members of 3.5.1 may lose consistency when killed), else any."""
    packaged = Path("/usr/bin") / name
    if packaged.exists():
        return str(packaged)
    found = shutil.which(name)
    if found is None:
        raise ChaosError(f"{name} is not installed: apt-get install etcd-server etcd-client")
    return found


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
