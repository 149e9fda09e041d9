"""The documents are true: the README's tour runs as printed, links lead somewhere, generated pages are up to date."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from meshd.cli.agents import find_agents
from meshd.cli.main import VERBS
from meshd.demo.addresses import claim_subnet
from meshd.demo.processes import Processes, clean_environment
from sidecar.agent.main import command
from sidecar.agent.settings import SidecarSettings
from store.errors import AgentUnavailable
from tests.e2e.fields.table import GROUPS
from tests.harness.field_claims import proven
from tests.harness.fields_page import fields_page
from tests.harness.processes import free_ports, wait_until

TOP = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "deploy").rglob("*.md")]
)
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
FREE_NUMBER = re.compile(r"(?<![\w@-])\d+(?:\\?\.\d+)*")
"""Numbers that differ from run to run: not those of names (vm-1), versions (v1) and generations (@1)."""
BLOCK_S = 60.0
READY_S = 60.0
END_S = 15.0


# -- the tour ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """Commands of the tour, and what the README says that they print."""

    commands: str
    printed: str


def tour() -> list[Block]:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    [section] = re.findall(r"^## Five minutes by hand$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    blocks: list[Block] = []
    for kind, body in BLOCK.findall(section):
        if kind == "sh":
            blocks.append(Block(body, ""))
        else:
            blocks[-1] = Block(blocks[-1].commands, body)
    return blocks


class Shell:
    """One bash, as a person's terminal is one: exports and background jobs last from block to block."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._output = directory / "terminal.txt"
        with self._output.open("wb") as stream:
            self.process = subprocess.Popen(
                ["bash", "--norc", "--noprofile"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=TOP,
                env=environment,
                start_new_session=True,
            )
        self._read = 0
        self._count = 0

    def run(self, commands: str) -> str:
        """What the commands print."""
        self._count += 1
        mark = f"--- block {self._count} done ---"
        assert self.process.stdin is not None
        self.process.stdin.write(f"{commands}\necho; echo '{mark}'\n".encode())
        self.process.stdin.flush()

        def text() -> str:
            return self._output.read_bytes()[self._read :].decode()

        wait_until(lambda: mark in text(), BLOCK_S, f"the end of these commands:\n{commands}")
        printed = text()
        self._read += len(printed.encode())
        return printed.replace(mark, "")

    def close(self) -> None:
        """End the shell and what it started: in order where that works, applications with their sidecars."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, AssertionError):
                os.killpg(self.process.pid, number)
                wait_until(self._is_gone, END_S, "the processes of the tour to end")
        self.process.wait(10)

    def _is_gone(self) -> bool:
        """Whether the shell's process group is empty."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory, since sockets lie in it; at the end nothing runs out of it."""
    directory = Path(tempfile.mkdtemp(prefix="tour-", dir="/tmp"))
    yield directory
    Processes(directory, {}).sweep()
    shutil.rmtree(directory)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_tour_of_the_readme_does_what_it_says(home: Path) -> None:
    client, peer, first, second, app_1, app_2 = free_ports(6)
    subnet = claim_subnet()
    elsewhere = {
        "127.0.0.1:2379": f"127.0.0.1:{client}",
        "127.0.1.": subnet.address(1)[:-1],
        "15001": str(first),
        "15002": str(second),
        "9081": str(app_1),
        "9082": str(app_2),
        "/tmp/tour": str(home / "t"),
    }
    environment = clean_environment() | {
        "CURL_HOME": str(home),
        "ETCDCTL_ENDPOINTS": f"http://127.0.0.1:{client}",
        "ETCD_LISTEN_CLIENT_URLS": f"http://127.0.0.1:{client}",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://127.0.0.1:{client}",
        "ETCD_LISTEN_PEER_URLS": f"http://127.0.0.1:{peer}",
        "MESHD_VENV": os.environ.get("MESHD_VENV", str(TOP / ".venv")),
        "COLUMNS": "200",
    }
    (home / ".curlrc").write_text("silent\nshow-error\nmax-time = 10\n")
    shell = Shell(environment, home)
    try:
        blocks = tour()
        assert len(blocks) >= 6
        for number, block in enumerate(blocks):
            commands = placed(block.commands, elsewhere)
            printed = shell.run(commands)
            assert_printed(printed, block, commands)
            if number == 0:
                run_dir = home / "t" / "run"
                wait_until(partial(both_are_ready, run_dir), READY_S, "both sidecars to be ready")
        assert Processes(home, {}).sweep() == [], "an Envoy was left behind"
        assert find_agents(home / "t" / "run") == ()
        for log in (home / "t").glob("vm-*.log"):
            assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    except AssertionError as problem:
        raise AssertionError(f"{problem}\n{logs(home / 't')}") from problem
    finally:
        shell.close()
        subnet.close()


def placed(text: str, elsewhere: dict[str, str]) -> str:
    """The text with addresses, ports and directories of this run, replaced in one pass."""
    names = "|".join(re.escape(name) for name in elsewhere)
    return re.sub(names, lambda match: elsewhere[match[0]], text)


def both_are_ready(run_dir: Path) -> bool:
    agents = find_agents(run_dir)
    try:
        return len(agents) == 2 and all(
            status["hosts"] == 2
            and status["config"]["state"] == "in-force"
            and status["gossip"].get("members", {}).get("alive") == 1
            for status in (agent.status() for agent in agents)
        )
    except AgentUnavailable:
        return False


def logs(directory: Path) -> str:
    """The ends of the logs of everything that the tour started."""
    return "\n".join(
        f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
        for log in sorted(directory.glob("*.log"))
    )


def assert_printed(printed: str, block: Block, commands: str) -> None:
    """Each line of the README's output comes, in that order; `...` and free numbers may be anything."""
    at = 0
    for line in block.printed.splitlines():
        if not line.strip(" .│"):
            continue
        pattern = re.escape(" ".join(line.split())).replace(r"\.\.\.", ".*?")
        pattern = FREE_NUMBER.sub(r"[\\d.]+", pattern).replace(r"\ ", r"[^\S\n]+")
        found = re.compile(pattern).search(printed, at)
        assert found, f'"{line}" is not printed by\n{commands}\nbut this is:\n{printed}'
        at = found.end()


# -- links and pages --------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file = document.parent / target if target else document
        assert file.exists(), f"{document.name} links to {target}, which does not exist"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file), f"{document.name} links to {target}{anchor}"


def anchors(file: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_page_of_fields_says_what_models_verdicts_and_proofs_say(rewrite: bool) -> None:
    page = TOP / "docs" / "fields.md"
    made = fields_page(proven([case for group in GROUPS.values() for case in group]))
    if rewrite:
        page.write_text(made, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == made


# -- names ------------------------------------------------------------------------------------------

OPERATIONS = (TOP / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_metric_to_watch_is_one_that_the_sidecar_has() -> None:
    modules = sorted((TOP / "sidecar" / "agent").glob("*metrics.py"))
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    declared = set(re.findall(r'"(meshd_[a-z_]+)"', source))
    named = set(re.findall(r"\bmeshd_[a-z_]+", OPERATIONS))
    assert len(named) > 5
    assert {name.removesuffix("_total") for name in named} <= declared


def test_every_setting_in_the_table_is_one() -> None:
    [table] = re.findall(r"^\| setting \|.*?\n\n", OPERATIONS, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^\| `([a-z_.]+)` \| `?([^|`]+)`? \|", table, re.MULTILINE)
    assert len(names) > 3
    for name, default in names:
        value: object = SidecarSettings()
        for part in name.split("."):
            assert part in type(value).model_fields, name  # type: ignore[attr-defined]
            value = getattr(value, part)
        if name != "contexts":  # an empty list stands for one context
            assert str(value) == default.strip(), name


@pytest.mark.parametrize(
    "document",
    ["README.md", "docs/operations.md", "docs/architecture.md", "deploy/samples/README.md"],
)
def test_every_verb_that_people_are_told_to_use_exists(document: str) -> None:
    text = (TOP / document).read_text(encoding="utf-8")
    for program, verb in re.findall(r"(?:`|\./dev run |^    )(meshd|meshd-sidecar) ([a-z]+)", text):
        known = {*VERBS, "apply"} if program == "meshd" else set(command.commands)
        assert verb in known, f"{program} {verb}"
