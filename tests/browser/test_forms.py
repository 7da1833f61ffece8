"""The form that an entity's declaration makes: an input for each kind of field."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visits import Visit, open_page, row
from tests.processes import Serve

ADA = {"owner": "Ada", "plan": "small", "seats": 2, "active": True, "until": None, "tags": []}


@pytest.fixture
def accounts(running: Serve, visit: Visit) -> Page:
    """The page on the accounts, of which there are none."""
    for account in held(running):
        assert running.request("DELETE", f"/accounts/{account['id']}").status == 204
    open_page(visit.page, running.url, "accounts")
    return visit.page


def held(node: Serve) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.request("GET", "/accounts").json
    return rows


def test_each_kind_of_field_reaches_the_server_with_its_type(
    accounts: Page, running: Serve
) -> None:
    accounts.get_by_role("button", name="New Account").click()
    expect(accounts.get_by_role("spinbutton", name="Seats")).to_have_accessible_description(
        "How many may sign in."
    )
    accounts.get_by_role("textbox", name="Owner").fill("Ann")
    accounts.get_by_role("combobox", name="Plan").select_option("large")
    accounts.get_by_role("spinbutton", name="Seats").fill("12")
    accounts.get_by_role("checkbox", name="Active").uncheck()
    accounts.get_by_label("Until").fill("2027-02-28")
    accounts.get_by_role("textbox", name="Tags").fill('["new", "<b>"]')
    accounts.get_by_role("button", name="Save").click()
    row(accounts, "Ann").wait_for()
    (account,) = held(running)
    del account["id"]
    assert account == {
        "owner": "Ann",
        "plan": "large",
        "seats": 12,
        "active": False,
        "until": "2027-02-28",
        "tags": ["new", "<b>"],
    }


def test_saving_a_row_untouched_leaves_it_as_it_was(accounts: Page, running: Serve) -> None:
    assert running.request("POST", "/accounts", ADA).status == 201
    before = held(running)
    row(accounts, "Ada").wait_for()
    accounts.get_by_role("button", name="Edit Ada").click()
    expect(accounts.get_by_label("Owner")).to_have_value("Ada")
    accounts.get_by_role("button", name="Save").click()
    expect(accounts.get_by_role("status")).to_have_text("Saved.")
    assert held(running) == before


def test_what_is_wrong_with_the_row_as_a_whole_is_said(accounts: Page, visit: Visit) -> None:
    visit.expect_refused(422)
    accounts.get_by_role("button", name="New Account").click()
    accounts.get_by_label("Owner").fill("Ann")
    accounts.get_by_label("Seats").fill("6")
    accounts.get_by_role("button", name="Save").click()
    expect(accounts.get_by_role("alert")).to_contain_text("a small plan has at most 5 seats")


def test_a_refused_save_can_be_tried_again_unchanged(
    accounts: Page, visit: Visit, running: Serve
) -> None:
    """The first answer stays with its key: the second try must be a write of its own."""
    visit.expect_refused(409)
    taken = running.request("POST", "/accounts", ADA).json
    accounts.get_by_role("button", name="New Account").click()
    accounts.get_by_label("Owner").fill("Ada")
    accounts.get_by_role("button", name="Save").click()
    owner = accounts.get_by_label("Owner")
    expect(owner).to_have_accessible_description("another row has the same value in a unique field")
    assert running.request("DELETE", f"/accounts/{taken['id']}").status == 204
    accounts.get_by_role("button", name="Save").click()
    expect(accounts.get_by_role("dialog")).to_be_hidden()
    assert [account["owner"] for account in held(running)] == ["Ada"]


def test_each_table_has_its_own_columns(accounts: Page) -> None:
    heads = accounts.get_by_role("columnheader")
    accounts.get_by_role("button", name="users").click()
    accounts.get_by_role("heading", name="users").wait_for()
    accounts.get_by_role("button", name="New User").click()
    expect(accounts.get_by_label("Email")).to_be_visible()
    expect(accounts.get_by_label("Owner")).to_have_count(0)
    assert "Owner" not in heads.all_inner_texts()
