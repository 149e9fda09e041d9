"""Fixtures that tests of more than one package use: a real etcd, and a prefix of its own for each test."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.harness.processes import EtcdProcess

_PREFIXES = itertools.count(1)

# How long an example takes says something of the machine, and nothing of what is tried.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    # A runner in the background (nohup, `&` in a script) starts us with these ignored, and what is ignored is
    # inherited for ever: the programs under test would never hear the Ctrl-C that tests send them.
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(
            _number,
            signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL,
        )


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """An etcd that the tests of one module share; none of them may stop it, wipe it or use a fixed prefix."""
    with EtcdProcess(tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test uses, for instance `/test-7/v1`."""
    return f"/test-{next(_PREFIXES)}/v1"


@pytest.fixture
def own_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """An etcd for one test alone, which may kill, freeze and restart it."""
    with EtcdProcess(tmp_path_factory.mktemp("own-etcd")) as process:
        yield process


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write what transcripts print into their files"
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether transcripts are to be rewritten instead of compared."""
    return bool(request.config.getoption("--rewrite"))
