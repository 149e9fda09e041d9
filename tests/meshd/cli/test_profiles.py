from __future__ import annotations

from pathlib import Path

import pytest

from meshd.cli.profiles import config_file, profile_in_use, read_profiles, use_profile
from meshd.cli.session import Session
from store.errors import InputError, NotFoundError

TEXT = """\
# mine
use = "lab"

[profile.lab]
endpoints = ["http://10.0.0.1:2379", "http://10.0.0.2:2379"]
namespace = "shop"

[profile.prod]
endpoints = "http://10.1.0.1:2379"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config.toml").write_text(TEXT)
    return {"MESHD_CONFIG": str(tmp_path / "config.toml")}


def test_the_file_lies_in_the_users_configuration() -> None:
    assert config_file({"XDG_CONFIG_HOME": "/c"}) == Path("/c/meshd/config.toml")
    assert config_file({"MESHD_CONFIG": "/x.toml"}) == Path("/x.toml")


def test_flag_then_variable_then_file_choose_the_profile(environment: dict[str, str]) -> None:
    assert profile_in_use(None, environment)["namespace"] == "shop"
    assert "namespace" not in profile_in_use("prod", environment)
    assert "namespace" not in profile_in_use(None, {**environment, "MESHD_PROFILE": "prod"})


def test_no_file_is_no_profile(tmp_path: Path) -> None:
    environment = {"MESHD_CONFIG": str(tmp_path / "absent.toml")}
    assert read_profiles(environment) == ("", {})
    assert profile_in_use(None, environment) == {}


def test_an_unknown_profile_is_answered_with_the_known_ones(environment: dict[str, str]) -> None:
    with pytest.raises(NotFoundError, match="It has: lab, prod"):
        profile_in_use("other", environment)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("use = ", "not TOML"),
        ("usee = 'a'", "usee"),
        ("profile = 1", "tables"),
        ("profile.a = 1", "profile.a"),
        ("[profile.a]\nendpoint = 'x'", "profile.a.endpoint: unknown; allowed: endpoints"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(InputError, match=says):
        read_profiles({"MESHD_CONFIG": str(tmp_path / "config.toml")})


def test_use_changes_one_line_of_the_file(environment: dict[str, str]) -> None:
    file = use_profile("prod", environment)
    assert file.read_text() == TEXT.replace('use = "lab"\n', "").replace(
        "# mine\n", 'use = "prod"\n# mine\n'
    )
    assert read_profiles(environment)[0] == "prod"
    with pytest.raises(NotFoundError):
        use_profile("other", environment)
    assert read_profiles(environment)[0] == "prod"


def test_a_session_takes_flag_then_environment_then_profile(environment: dict[str, str]) -> None:
    assert Session({}, environment).namespace == "shop"
    assert Session({}, {**environment, "MESHD_NAMESPACE": "env"}).namespace == "env"
    assert Session({"namespace": "flag"}, environment).namespace == "flag"
    with Session({}, environment).store() as client:
        assert client.settings.endpoints == ("http://10.0.0.1:2379", "http://10.0.0.2:2379")
    with Session({}, {**environment, "MESHD_ETCD": "http://[::1]:1"}).store() as client:
        assert client.settings.endpoints == ("http://[::1]:1",)


@pytest.mark.parametrize("told", ["0", "-1", "x", "601"])
def test_a_deadline_must_be_a_time(told: str) -> None:
    with pytest.raises(InputError, match="--request-timeout"):
        _ = Session({"request_timeout_s": told}, {}).timeout_s
    assert Session({"request_timeout_s": "2.5s"}, {}).timeout_s == 2.5


def test_a_namespace_must_be_one() -> None:
    with pytest.raises(InputError, match="-n"):
        _ = Session({"namespace": "No Way"}, {}).namespace
    with pytest.raises(InputError, match="MESHD_NAMESPACE"):
        _ = Session({}, {"MESHD_NAMESPACE": "no/way"}).namespace
