"""The Go program's page, a file on disk whose origin is `null`, against a node of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.visits import Visit, add, remove_rows, users
from tests.processes import Serve

PAGE = Path(__file__).with_name("go_page.html")


@pytest.fixture(scope="module")
def nodes(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Serve]]:
    """One node that every origin may write to, and one with nothing allowed."""
    folder = tmp_path_factory.mktemp("go")
    started = [
        Serve(folder / "open", arguments=("--allow-origin", "*")).start(ready=False),
        Serve(folder / "closed").start(ready=False),
    ]
    try:
        for node in started:
            node.wait_ready()
        yield started
    finally:
        for node in started:
            node.stop()


@pytest.fixture
def open_node(nodes: list[Serve]) -> Serve:
    remove_rows(nodes[0])
    return nodes[0]


@pytest.fixture
def closed_node(nodes: list[Serve]) -> Serve:
    remove_rows(nodes[1])
    return nodes[1]


def open_file(page: Page, node: Serve, folder: Path) -> None:
    """Open the page from disk, with the node's port for the Go program's."""
    file = folder / "users.html"
    file.write_text(PAGE.read_text().replace("localhost:8082", f"localhost:{node.port}"))
    page.goto(file.as_uri())
    assert page.evaluate("self.origin") == "null"


def save(page: Page, name: str, email: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Save").click()


def item(page: Page, text: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=text)


def test_it_creates_lists_edits_and_deletes(open_node: Serve, page: Page, tmp_path: Path) -> None:
    open_file(page, open_node, tmp_path)
    save(page, "Ann", "ann@example.com")
    expect(item(page, "Ann <ann@example.com>")).to_be_visible()
    (created,) = users(open_node)
    assert (created["name"], created["email"]) == ("Ann", "ann@example.com")

    item(page, "Ann").get_by_role("button", name="Edit").click()
    save(page, "Ann B", "annb@example.com")
    expect(item(page, "Ann B <annb@example.com>")).to_be_visible()
    edited = {"id": created["id"], "name": "Ann B", "email": "annb@example.com"}
    assert users(open_node) == [edited]

    item(page, "Ann B").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("listitem")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("DELETE done")
    assert users(open_node) == []


def test_it_shows_what_others_wrote_when_it_reads_again(
    open_node: Serve, page: Page, tmp_path: Path
) -> None:
    open_file(page, open_node, tmp_path)
    add(open_node, "Bob", "bob@example.com")
    expect(item(page, "Bob <bob@example.com>")).to_be_visible()


def test_a_node_that_allows_nothing_lets_it_read_and_refuses_its_writes(
    closed_node: Serve, visit: Visit, page: Page, tmp_path: Path
) -> None:
    visit.expect_refused(403, 403, 403)
    held = add(closed_node, "Ann", "ann@example.com")
    open_file(page, closed_node, tmp_path)
    ann = item(page, "Ann")
    expect(ann).to_be_visible()
    save(page, "Eve", "eve@example.com")
    expect(page.get_by_role("status")).to_have_text("POST failed: 403")
    ann.get_by_role("button", name="Edit").click()
    save(page, "Eve", "eve@example.com")
    expect(page.get_by_role("status")).to_have_text("PUT failed: 403")
    ann.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("DELETE failed: 403")
    assert users(closed_node) == [held]
