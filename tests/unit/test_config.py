"""Where a setting comes from: the command line, the environment, the file, the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from clusterlite.config import SAMPLE, Settings, load_settings
from clusterlite.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to start in, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CLUSTERLITE_{name.upper()}", raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_defaults_listen_on_loopback_and_keep_the_log_in_the_data_folder() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8082, 1)
    assert settings.log_url == "file:data/log"
    assert settings.entities == (SAMPLE,)
    assert not settings.listens_wide


def test_each_source_stands_above_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder / "x.toml", 'port = 1\nhost = "file"\nnode-id = "file"\ncluster = "file"\n')
    monkeypatch.setenv("CLUSTERLITE_HOST", "environment")
    monkeypatch.setenv("CLUSTERLITE_NODE_ID", "environment")
    settings = load_settings({"node_id": "given", "host": None, "entities": ()}, file)
    assert settings.node_id == "given"
    assert settings.host == "environment"
    assert settings.cluster == "file"
    assert settings.port == 1
    assert settings.data == Path("data")


def test_the_file_in_the_working_folder_is_read_unless_another_is_named(folder: Path) -> None:
    write(folder / "clusterlite.toml", "port = 1")
    assert load_settings({}).port == 1
    assert load_settings({}, write(folder / "other.toml", "workers = 2")).port == 8082


def test_a_given_zero_or_empty_text_is_given(folder: Path) -> None:
    write(folder / "clusterlite.toml", 'port = 1\nlog = "memory:"')
    settings = load_settings({"port": 0, "log": ""})
    assert (settings.port, settings.log) == (0, "")


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERLITE_PORT", "")
    assert load_settings({}).port == 8082


@pytest.mark.parametrize("source", ["given", "environment", "file"])
def test_several_entities_stand_with_commas_between_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    spelled = "shop.models, shop.more:Order,"
    given: dict[str, Any] = {"entities": spelled} if source == "given" else {}
    if source == "environment":
        monkeypatch.setenv("CLUSTERLITE_ENTITIES", spelled)
    elif source == "file":
        write(folder / "clusterlite.toml", f'entities = "{spelled}"')
    assert load_settings(given).entities == ("shop.models", "shop.more:Order")


def test_a_list_in_the_file_is_taken_as_one(folder: Path) -> None:
    write(folder / "clusterlite.toml", 'allow_origin = ["https://a", "https://b"]')
    assert load_settings({}).allow_origin == ("https://a", "https://b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 70000", "port: "),
        ('port = "many"', "port: "),
        ("prot = 1", "prot: "),
        ("port = ", "is no TOML"),
        ("workers = 0", "workers: "),
    ],
)
def test_what_is_wrong_in_the_file_is_named(folder: Path, text: str, message: str) -> None:
    write(folder / "clusterlite.toml", text)
    with pytest.raises(ConfigError, match=message):
        load_settings({})


def test_what_is_wrong_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERLITE_PORT", "many")
    with pytest.raises(ConfigError, match="port: "):
        load_settings({})


def test_a_named_file_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        load_settings({}, folder / "nowhere.toml")


@pytest.mark.parametrize(("host", "wide"), [("0.0.0.0", True), ("::1", False), ("10.1.1.1", True)])
def test_it_knows_whether_others_can_reach_it(host: str, wide: bool) -> None:
    assert load_settings({"host": host}).listens_wide is wide


@pytest.mark.parametrize(
    ("host", "taken"),
    [("[::1]", "::1"), ("0.0.0.0", "0.0.0.0"), ("db-1.example.com", "db-1.example.com")],
)
def test_a_host_is_an_address_or_a_name(host: str, taken: str) -> None:
    assert load_settings({"host": host}).host == taken


@pytest.mark.parametrize(
    ("host", "cure"),
    [
        ("300.1.1.1", "or ::1"),
        ("", "or ::1"),
        ("*", "or ::1"),
        ("http://0.0.0.0", "or ::1; give the address alone"),
        ("0.0.0.0:8082", "or ::1; the port is a setting of its own: --port 8082"),
        (
            "http://db:80/",
            "or ::1; give the address alone; the port is a setting of its own: --port 80",
        ),
    ],
)
def test_a_host_that_is_no_address_is_refused_with_what_would_be(host: str, cure: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"host": host})
    assert str(refused.value) == (
        f"the settings are not possible: host: {host!r} is no address of this machine, as "
        f"127.0.0.1, 0.0.0.0 (everywhere) {cure}"
    )


def test_a_setting_that_is_not_there_is_answered_with_the_nearest(folder: Path) -> None:
    write(folder / "clusterlite.toml", "prot = 1\nzebra = 2")
    with pytest.raises(ConfigError) as refused:
        load_settings({})
    assert str(refused.value) == (
        "the settings are not possible: prot: there is no such setting; did you mean port?; "
        "zebra: there is no such setting"
    )


def test_an_unknown_variable_is_warned_of_with_the_nearest_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLUSTERLITE_PROT", "1")
    monkeypatch.setenv("CLUSTERLITE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("CLUSTERLITE_ZEBRA", "1")
    monkeypatch.setenv("CLUSTERLITE_DATA", "here")
    assert load_settings({}).data == Path("here")
    assert capsys.readouterr().err == (
        "clusterlite: warning: the environment variable CLUSTERLITE_PROT is no setting; did you "
        "mean CLUSTERLITE_PORT?\n"
        "clusterlite: warning: the environment variable CLUSTERLITE_ZEBRA is no setting\n"
    )


def test_the_port_that_kubernetes_sets_is_told_from_one_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLUSTERLITE_PORT", "tcp://10.0.0.1:8082")
    with pytest.raises(ConfigError, match="Kubernetes sets for a service named clusterlite"):
        load_settings({})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        load_settings({}).port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["100%", "a b", "x;y", "\u202e", "é", "a" * 65])
def test_a_cluster_id_that_no_header_carries_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no cluster id"):
        load_settings({"cluster": name})
