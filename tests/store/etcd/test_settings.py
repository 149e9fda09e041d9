"""How to reach the store: sources in order, and every problem at once with what to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from store.errors import InputError
from store.etcd.settings import DEFAULT_ENDPOINT, VARIABLES, EtcdSettings, read_settings


def test_nothing_given_means_the_local_etcd_and_the_usual_prefix() -> None:
    settings = read_settings({}, {})
    assert settings.endpoints == (DEFAULT_ENDPOINT,)
    assert settings.prefix == "/meshd/v1"
    assert settings.request_timeout_s == 5.0


def test_flags_go_before_the_environment() -> None:
    environment = {"MESHD_ETCD": "http://env:1", "MESHD_PREFIX": "/env", "OTHER": "x"}
    settings = read_settings({"endpoints": "http://flag:1", "prefix": None}, environment)
    assert settings.endpoints == ("http://flag:1",)
    assert settings.prefix == "/env"


def test_endpoints_are_split_trimmed_and_told_once() -> None:
    settings = read_settings({"endpoints": " http://a:1/, http://b:2,,http://a:1 "}, {})
    assert settings.endpoints == ("http://a:1", "http://b:2")
    assert EtcdSettings.model_validate({"endpoints": ["http://a:1/"]}).endpoints == ("http://a:1",)


@pytest.mark.parametrize(
    ("endpoints", "problem"),
    [
        ("127.0.0.1:2379", "has no scheme; write http://127.0.0.1:2379"),
        ("ftp://a:1", 'has the scheme "ftp"'),
        ("http://a", "needs host and port"),
        ("http://a:x", "port that is not a number"),
        ("http://a:99999", "port that is not a number"),
        ("http://u:p@a:1", "users go to --etcd-user"),
        ("http://a:1/v1", "folders to --prefix"),
        ("http://a:1,https://b:1", "mixes http and https"),
        (",", "names no endpoint"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_with_what_to_write(
    endpoints: str, problem: str
) -> None:
    with pytest.raises(InputError, match="--etcd") as failure:
        read_settings({"endpoints": endpoints}, {})
    assert problem in failure.value.message
    with pytest.raises(ValidationError, match="endpoints"):
        EtcdSettings.model_validate({"endpoints": endpoints})


def test_all_problems_are_told_at_once_with_their_flag_or_variable(tmp_path: Path) -> None:
    with pytest.raises(InputError) as failure:
        read_settings(
            {"cert": str(tmp_path / "absent"), "endpoints": "http://a:1"},
            {
                "MESHD_ETCD_USER": "ann",
                "MESHD_PREFIX": "no-slash",
                "MESHD_ETCD_TIMEOUT": "soon",
            },
        )
    text = failure.value.message
    for part in (
        f'--etcd-cert: file "{tmp_path / "absent"}" is absent',
        "--etcd-cert: is given without --etcd-key (MESHD_ETCD_KEY)",
        "--etcd-cert: is given, yet the endpoints are http://",
        "MESHD_ETCD_USER: is given without --etcd-password-file",
        'MESHD_PREFIX: prefix "no-slash"',
        'MESHD_ETCD_TIMEOUT: "soon" is not a number of seconds',
    ):
        assert part in text


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), ("2.5s", 2.5), ("600", 600.0)])
def test_a_timeout_is_seconds(text: str, seconds: float) -> None:
    assert read_settings({"request_timeout_s": text}, {}).request_timeout_s == seconds


@pytest.mark.parametrize("text", ["0", "-1", "601", "1m", "nan"])
def test_a_timeout_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="above 0 and up to 600"):
        read_settings({"request_timeout_s": text}, {})


def test_files_that_belong_together_are_taken_with_https(tmp_path: Path) -> None:
    files = {}
    for name in ("ca", "cert", "key", "password_file"):
        files[name] = str(tmp_path / name)
        (tmp_path / name).write_text("x")
    settings = read_settings({"endpoints": "https://a:1", "user": "ann", **files}, {})
    assert settings.ca == files["ca"]
    assert settings.user == "ann"


def test_every_setting_has_a_flag_and_a_variable() -> None:
    assert set(VARIABLES) == set(EtcdSettings.model_fields)


def test_who_asks_is_named_by_user_or_by_certificate(tmp_path: Path) -> None:
    file = tmp_path / "ann.pem"
    file.write_text("x")
    by_password = EtcdSettings(user="ann", password_file=str(file))
    by_certificate = EtcdSettings(endpoints=("https://a:1",), cert=str(file), key=str(file))
    assert by_password.identity == 'user "ann"'
    assert by_certificate.identity == f"the user that certificate {file} names"
    assert EtcdSettings().identity == ""
