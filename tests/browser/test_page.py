"""The page at `/-/ui/`: it lists, creates, edits and deletes, and shows values as text."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.visits import (
    INSECURE_HOST,
    Visit,
    add,
    create,
    fill_in,
    open_page,
    row,
    users,
)
from tests.processes import Serve

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "<svg onload=alert(3)>",
    "\"'><b>bold</b>&lt;",
)


def test_an_empty_table_says_how_to_begin(node: Serve, page: Page) -> None:
    open_page(page, node.url)
    expect(page.get_by_text("No rows yet.")).to_be_visible()
    expect(page.get_by_text("0 rows")).to_be_visible()


def test_the_rows_of_the_server_are_listed(node: Serve, page: Page) -> None:
    for number in range(3):
        add(node, f"user {number}", f"{number}@example.com")
    open_page(page, node.url)
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(row(page, "user 1")).to_contain_text("1@example.com")


def test_a_created_row_is_on_the_server_and_in_the_list(node: Serve, page: Page) -> None:
    open_page(page, node.url)
    create(page, "Zoë", "zoe@example.com")
    expect(row(page, "Zoë")).to_contain_text("zoe@example.com")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("Created.")
    (held,) = users(node)
    assert (held["name"], held["email"]) == ("Zoë", "zoe@example.com")


def test_an_edited_row_keeps_its_id(node: Serve, page: Page) -> None:
    before = add(node, "Ann", "ann@example.com")
    open_page(page, node.url)
    page.get_by_role("button", name="Edit Ann").click()
    expect(page.get_by_label("Name")).to_have_value("Ann")
    expect(page.get_by_label("Email")).to_have_value("ann@example.com")
    fill_in(page, "Ann B", "annb@example.com")
    expect(row(page, "Ann B")).to_contain_text("annb@example.com")
    assert users(node) == [{"id": before["id"], "name": "Ann B", "email": "annb@example.com"}]


def test_a_deleted_row_is_gone_once_confirmed(node: Serve, page: Page) -> None:
    add(node, "Ann")
    kept = add(node, "Bob")
    open_page(page, node.url)
    page.get_by_role("button", name="Delete Ann").click()
    confirm = page.get_by_role("dialog", name="Delete this row?")
    expect(confirm).to_contain_text("Ann")
    confirm.get_by_role("button", name="Cancel").click()
    expect(row(page, "Ann")).to_be_visible()
    page.get_by_role("button", name="Delete Ann").click()
    confirm.get_by_role("button", name="Delete").click()
    expect(row(page, "Ann")).to_have_count(0)
    expect(confirm).to_be_hidden()
    assert users(node) == [kept]


def test_a_refused_value_is_explained_at_its_field(node: Serve, visit: Visit, page: Page) -> None:
    visit.expect_refused(422)
    open_page(page, node.url)
    create(page, "n" * 201, "ann@example.com")
    name, email = page.get_by_label("Name"), page.get_by_label("Email")
    expect(name).to_have_accessible_description(re.compile("at most 200 characters"))
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_be_focused()
    expect(email).not_to_have_attribute("aria-invalid", "true")
    expect(email).to_have_value("ann@example.com")
    assert users(node) == []
    fill_in(page, "Ann", "ann@example.com")
    expect(row(page, "Ann")).to_be_visible()


def test_a_row_that_changed_meanwhile_is_not_overwritten(
    node: Serve, visit: Visit, page: Page
) -> None:
    visit.expect_refused(412)
    opened = add(node, "Ann", "ann@example.com")
    path = f"/users/{opened['id']}"
    open_page(page, node.url)
    page.get_by_role("button", name="Edit Ann").click()
    expect(page.get_by_label("Name")).to_have_value("Ann")
    theirs = {"name": "Theirs", "email": "theirs@example.com"}
    assert node.request("PUT", path, theirs).status == 200
    fill_in(page, "Mine", "mine@example.com")
    expect(page.get_by_role("alert")).to_contain_text("Somebody else changed this row")
    expect(page.get_by_label("Name")).to_have_value("Mine")
    assert node.request("GET", path).json == {"id": opened["id"], **theirs}
    page.get_by_role("button", name="Load their version").click()
    expect(page.get_by_label("Name")).to_have_value("Theirs")
    fill_in(page, "Agreed", "agreed@example.com")
    expect(row(page, "Agreed")).to_be_visible()


def test_values_are_shown_as_text_and_never_run(node: Serve, page: Page) -> None:
    for value in HOSTILE:
        add(node, value, value)
    open_page(page, node.url)
    for value in HOSTILE:
        line = page.locator("tbody tr").filter(has_text=value)
        expect(line.locator("td").nth(0)).to_have_text(value)
        expect(line.locator("td").nth(1)).to_have_text(value)
        line.get_by_role("button", name="Edit").click()
        expect(page.get_by_label("Name")).to_have_value(value)
        page.get_by_role("button", name="Cancel").click()
        line.get_by_role("button", name="Delete").click()
        confirm = page.get_by_role("dialog", name="Delete this row?")
        expect(confirm.locator(".doomed")).to_have_text(value)
        confirm.get_by_role("button", name="Cancel").click()
    expect(page.locator("#app :is(img, svg, b, script)")).to_have_count(0)


def test_the_policy_lets_in_nothing_from_outside(node: Serve, visit: Visit, page: Page) -> None:
    open_page(page, node.url)
    for path in ("/-/ui/", "/-/ui/app.js", "/-/ui/vendor/preact.js"):
        policy = node.request("GET", path).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
        assert "unsafe" not in policy
        assert "*" not in policy
    assert visit.origins() == {f"127.0.0.1:{node.port}"}


def test_the_policy_stops_a_script_that_got_in(node: Serve, visit: Visit, page: Page) -> None:
    open_page(page, node.url)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'ran'";
            document.body.append(script);
        }"""
    )
    assert page.title() == "ClusterLite"
    assert any("Content Security Policy" in line for line in visit.complaints)
    visit.complaints.clear()


def test_it_writes_under_a_name_that_is_no_secure_context(running: Serve, page: Page) -> None:
    """A node is opened by its address in the network over plain http, too."""
    open_page(page, f"http://{INSECURE_HOST}:{running.port}")
    assert page.evaluate("isSecureContext") is False
    create(page, "from afar", "afar@example.com")
    expect(row(page, "from afar")).to_be_visible()


def test_a_node_that_is_gone_is_said_and_comes_back(node: Serve, visit: Visit, page: Page) -> None:
    add(node, "Ann")
    open_page(page, node.url)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The node does not answer")
    expect(row(page, "Ann")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert visit.complaints
    assert all("ERR_INTERNET_DISCONNECTED" in line for line in visit.complaints)
    visit.complaints.clear()
