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


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        load_settings({}).port = 1  # type: ignore[misc]
