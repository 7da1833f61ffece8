"""Chromium, pages that notice what must not happen on them, and the nodes behind them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.visits import INSECURE_HOST, Visit, remove_rows
from tests.processes import Serve, leave_out

NAMES = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parent.parent.parent
ENTITIES = "examples.users,tests.browser.entities"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One headless Chromium. Skips without the program; fails in CI."""
    program = need_chromium()
    arguments = [f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def need_chromium() -> str:
    """The program. Leave the test out, with the reason, where there is none; in CI that fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        leave_out("no Chromium on the path; Debian: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def tab(chromium: Browser) -> Iterator[Visit]:
    """One tab for all tests: starting another takes longer than most of them."""
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def visit(tab: Visit) -> Iterator[Visit]:
    """The tab, as new; the test fails if anything complained or called elsewhere."""
    tab.begin()
    yield tab
    tab.end()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture(scope="session")
def running(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node for the tests that need none with a setting of its own."""
    arguments = ("--entities", ENTITIES, "--allow-origin", f"http://{INSECURE_HOST}")
    with Serve(tmp_path_factory.mktemp("page") / "node", "", arguments, ROOT) as node:
        yield node


@pytest.fixture
def node(running: Serve) -> Serve:
    """The shared node, without a row."""
    remove_rows(running)
    return running
