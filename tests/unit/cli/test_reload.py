"""Which files are watched, and what counts as a change of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clusterlite.cli import reload
from clusterlite.cli.reload import POLL_S, Reload, project_files
from clusterlite.cli.voice import Voice
from clusterlite.config import Settings
from tests.processes import wait_until

SHOP = "from clusterlite import Entity\nclass Thing(Entity, table='things'):\n    name: str\n"


class Heard(Voice):
    """What was said, by event."""

    def __init__(self) -> None:
        super().__init__("json")
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def say(self, event: str, sentence: str, **fields: Any) -> None:
        self.heard.append((event, fields))


class Watched:
    """A project that is watched: time passes only when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.voice = Heard()
        self.now = 0.0
        settings = Settings(entities=("shop",), data=folder / "data").model_dump_json()
        self.reload = Reload(settings, self.voice, ["shop"])

    def look(self) -> bool:
        self.now += POLL_S
        return self.reload.step(self.now)

    def tried(self) -> bool:
        """Look until a change was tried; whether it can be served."""
        assert not self.look(), "it was tried while it may be half saved"
        assert not self.look()
        assert self.reload.changed
        heard = len(self.voice.heard)
        good = False

        def ended() -> bool:
            nonlocal good
            good = self.reload.step(self.now)
            return good or len(self.voice.heard) > heard

        wait_until(ended)
        return good

    @property
    def error(self) -> str:
        event, fields = self.voice.heard[-1]
        assert event == "reload_refused"
        return str(fields["error"])


def imported(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module as if this process had imported it."""
    module = ModuleType(name)
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(SHOP)
    imported("shop", tmp_path / "shop.py", monkeypatch)
    return Watched(tmp_path)


def test_the_projects_imported_files_are_watched_and_not_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = ["shop.py", "parts/more.py", ".venv/lib/x.py", "lib/site-packages/y.py", "z.so"]
    for number, place in enumerate(places):
        imported(f"watched_{number}", tmp_path / place, monkeypatch)
    imported("elsewhere", Path("/somewhere/elsewhere.py"), monkeypatch)
    imported("neighbour", Path("/somewhere/neighbour.py"), monkeypatch)
    assert project_files(["elsewhere:Thing"]) == {
        tmp_path / "shop.py",
        tmp_path / "parts/more.py",
        Path("/somewhere/elsewhere.py"),
    }


def test_nothing_is_tried_while_nothing_changes(watched: Watched) -> None:
    assert not any(watched.look() for _ in range(5))
    assert watched.reload.changed == []


def test_a_change_is_good_once_it_imports(watched: Watched) -> None:
    (watched.folder / "shop.py").write_text(SHOP + "    size: int = 1\n")
    assert watched.tried()
    assert watched.reload.changed == ["shop.py"]
    assert not watched.look()
    assert not watched.look()


def test_what_does_not_import_is_told_with_file_and_line_until_it_does(watched: Watched) -> None:
    shop, helper = watched.folder / "shop.py", watched.folder / "helper.py"
    shop.write_text(SHOP + "1 / 0\n")
    assert not watched.tried()
    assert watched.error.endswith("ZeroDivisionError: division by zero (shop.py, line 4)")
    shop.write_text("import helper\n" + SHOP)
    assert not watched.tried()
    assert "No module named 'helper'" in watched.error
    helper.write_text("def\n")  # a file that nobody had imported before
    assert not watched.tried()
    assert "SyntaxError" in watched.error
    helper.write_text("x = 1\n")
    assert watched.tried()
    (watched.folder / "another.py").write_text("")
    assert not watched.look()
    assert not watched.look()
    assert watched.reload.changed == ["helper.py"], "a file that nothing imports is no change"


def test_a_try_that_never_ends_is_given_up(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    (watched.folder / "shop.py").write_text("import time\ntime.sleep(600)\n")
    watched.look()
    watched.look()
    watched.now += reload.TRY_WAIT_S
    started = time.monotonic()
    assert not watched.look()
    assert watched.error == "it did not import in 30 s"
    assert time.monotonic() - started < 30


def test_what_the_modules_print_is_no_answer(watched: Watched) -> None:
    (watched.folder / "shop.py").write_text("print('{}')\n" + SHOP)
    assert watched.tried()
